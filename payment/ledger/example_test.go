package ledger_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
)

func Example() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(pay); err != nil {
		log.Print(err)
	}
	// Output:
	// hold: 345.00 CNY available
	// again: replayed true
	// capture: 45.00 CNY spent
}

func pay(tx *bbolt.Tx) error {
	if err := ledger.Create(tx); err != nil {
		return err
	}
	book := ledger.In(tx)
	for _, a := range []ledger.Account{
		{ID: "card", Currency: "CNY", Rule: ledger.CreditLimit, Limit: 50_000},
		{ID: "merchant", Currency: "CNY", Rule: ledger.Unrestricted},
	} {
		if err := book.Open(a); err != nil {
			return err
		}
	}
	hold := ledger.Transfer{
		ID: ledger.TransferID("payment-1", "hold"), Kind: ledger.KindHold,
		Debit: "card", Credit: "merchant", Amount: money.New(15_500, "CNY"),
	}
	if _, _, err := book.Post(hold); err != nil {
		return err
	}
	card, err := book.Account("card")
	if err != nil {
		return err
	}
	fmt.Printf("hold: %v available\n", money.New(card.Available(), card.Currency))
	_, replayed, err := book.Post(hold)
	if err != nil {
		return err
	}
	fmt.Printf("again: replayed %t\n", replayed)
	if _, _, err := book.Post(ledger.Transfer{
		ID: ledger.TransferID("payment-1", "capture"), Kind: ledger.KindCapture,
		Hold: hold.ID, Amount: money.New(4_500, "CNY"), Final: true,
	}); err != nil {
		return err
	}
	if card, err = book.Account("card"); err != nil {
		return err
	}
	fmt.Printf("capture: %v spent\n", money.New(-card.Balance(), card.Currency))
	return nil
}
