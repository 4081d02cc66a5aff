//go:build tools

// Package tools pins what scripts/install-k8s builds. Beside it `crd-costs` asks a library of Kubernetes what rules cost.
//
// k8s.io/kubernetes cannot be had with `go install PACKAGE@VERSION`: its go.mod points its own libraries at v0.0.0, so the
// replace lines of the go.mod here are needed. To move to Kubernetes 1.N.P set k8s.io/kubernetes to v1.N.P and each library
// that is replaced to v0.N.P, then run `go mod tidy`.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
)
