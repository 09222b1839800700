// Package step is the door for programs that know the API of step-ca: the step command and the libraries of smallstep enroll, renew, rekey
// and revoke unchanged, by the tokens of payca. It stands in front of the same [server.Gate] as the other doors: a provisioner, a
// template or a policy of step-ca does not exist here, and nothing that such a program sends but key and reason decides anything.
//
// What is answered are the JSON documents of github.com/smallstep/certificates/api, errors among them. Every route is served with and without
// /1.0 before it. [Endpoints] lists them; what is not listed is 404, in their form.
package step
