// Package listen makes the servers of a network and of its status nodes. Both stand in the open, so that both bound how many
// connect, how long each may take to say what it wants and to take the answer, and how long a header may be.
package listen
