// Checks payment.json with the cryptography of Node.js alone: node testdata/vectors/check.mjs
import { createDecipheriv, createECDH, createHash, createHmac, createPrivateKey, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

const file = JSON.parse(readFileSync(new URL("payment.json", import.meta.url)));
const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash("sha256")).digest();
const b64 = (s) => Buffer.from(s, "base64url");
const parties = new Map(file.parties.map((p) => [p.thumbprint, { ...p, x509: new X509Certificate(p.certificate) }]));

// signed says whether a compact JWS was signed by the certificate that its header names.
function signed(object) {
  const [header, payload, signature] = object.split(".");
  const { alg, kid } = JSON.parse(b64(header));
  const party = parties.get(kid);
  return alg === "ES256" && party !== undefined &&
    verify("sha256", Buffer.from(`${header}.${payload}`), { key: party.x509.publicKey, dsaEncoding: "ieee-p1363" }, b64(signature));
}

// unseal decrypts a compact JWE with ECDH-ES and A256GCM (RFC 7518 sections 4.6 and 5.3).
function unseal(sealed, key) {
  const [header, , iv, text, tag] = sealed.split(".");
  const { epk } = JSON.parse(b64(header));
  const own = createECDH("prime256v1");
  own.setPrivateKey(b64(createPrivateKey(key).export({ format: "jwk" }).d));
  const z = own.computeSecret(Buffer.concat([Buffer.from([4]), b64(epk.x), b64(epk.y)]));
  const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
  const cek = sha256(u32(1), z, u32(7), "A256GCM", u32(0), u32(0), u32(256));
  const decipher = createDecipheriv("aes-256-gcm", cek, b64(iv));
  decipher.setAAD(Buffer.from(header));
  decipher.setAuthTag(b64(tag));
  return Buffer.concat([decipher.update(b64(text)), decipher.final()]).toString();
}

let good = 0, wrong = 0;
function check(name, ok) {
  ok ? good++ : (wrong++, console.log("WRONG", name));
}
for (const p of file.parties) check(`thumbprint of ${p.uri}`, sha256(parties.get(p.thumbprint).x509.raw).toString("base64url") === p.thumbprint);
for (const v of file.objects) {
  check(`digest of ${v.name}`, sha256(v.object).toString("base64url") === v.digest);
  if (v.code === "") check(v.name, signed(v.object) && JSON.parse(b64(v.object.split(".")[1])).kind === v.kind);
  if (v.code === "bad_signature" && v.name !== "another issuer") check(v.name, !signed(v.object));
}
for (const v of file.sealed) {
  if (v.code === "") check(v.name, unseal(v.sealed, parties.get(v.recipient).key) === v.plaintext);
}
const d = file.dual;
check("oih", sha256("pay-oi-v1\0", d.offer).toString("base64url") === d.oih);
check("pih", sha256("pay-pi-v1\0", d.instruction).toString("base64url") === d.pih);
check("dual", signed(d.dual) && JSON.parse(b64(d.dual.split(".")[1])).oih === d.oih);
const c = file.confirmation;
const mac = createHmac("sha256", b64(c.secret)).update(["pay-confirm-v1", c.id, c.amount.minor, c.amount.currency, c.merchant, c.nonce].join("\0")).digest();
check("confirmation code", mac.toString("base64url") === c.mac);
const at = mac[19] & 15;
check("its digits", String((mac.readUInt32BE(at) & 0x7fffffff) % 1e8).padStart(8, "0") === c.digits);
console.log(`${good} good, ${wrong} wrong`);
process.exit(wrong === 0 ? 0 : 1);
