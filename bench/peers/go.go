// SPDX-License-Identifier: MIT

// The echo server with Go's net: a goroutine for each connection, which reads
// and writes as if it blocked. TCP_NODELAY is Go's own default, and so is the
// backlog, net.core.somaxconn.
//
// Tried: no garbage collection makes no difference, since there is no garbage.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

var (
	port   = flag.Int("port", 0, "listens there; 0: anywhere")
	work   = flag.Int64("work", 0, "ns of CPU before each send")
	buffer = flag.Int("buffer", 1024, "bytes that one receive may bring")
	sink   = flag.Bool("sink", false, "receives only")
)

func spend(work time.Duration) {
	for begun := time.Now(); time.Since(begun) < work; {
	}
}

func serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, *buffer)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if *sink {
			continue
		}
		if *work > 0 {
			spend(time.Duration(*work))
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func raiseLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

func endOnSignal() {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	go func() {
		<-ends
		os.Exit(0)
	}()
}

func main() {
	flag.Parse()
	raiseLimit()
	endOnSignal()
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		if c, err := listener.Accept(); err == nil {
			go serve(c)
		}
	}
}
