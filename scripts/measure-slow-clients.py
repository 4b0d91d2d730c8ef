#!/usr/bin/env python3
"""Measures the latency of a node while 1,000 clients send almost nothing.

    measure-slow-clients.py --http HOST:PORT --grpc HOST:PORT [--slow 1000] [--seconds 10] [--rounds 3]

Alternates between rounds without and with the slow clients. A quarter of them each sends nothing, a
header byte by byte, a body byte by byte, and an incomplete HTTP/2 preface. In each round a client
requests /v1/stats over HTTP, first on one connection, then with a new connection for each request.
Prints percentiles. The exit status is 1 if a p99 with slow clients is more than twice the p99 without
and also more than 5 ms above it. Needs only Python's standard library.
"""
import argparse
import http.client
import selectors
import socket
import sys
import threading
import time


class Slow:
    """Connections that send a byte every 0.5 s and reconnect when they are closed."""

    def __init__(self, count, http_address, grpc_address):
        self.selector = selectors.DefaultSelector()
        self.kinds = [(http_address, b""), (http_address, b"GET /stats HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 4096),
                      (http_address, b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                     b"Content-Length: 100000\r\n\r\n" + b"{" * 4096),
                      (grpc_address, b"PRI * HTTP/2.0\r\n\r\nSM")]
        self.open = {}
        self.closed = 0
        self.ended = False
        for i in range(count):
            self.connect(i)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def connect(self, kind):
        address, text = self.kinds[kind % len(self.kinds)]
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(address)
        self.selector.register(connection, selectors.EVENT_READ)
        self.open[connection] = [kind, text, 0]

    def run(self):
        while not self.ended:
            for key, _ in self.selector.select(timeout=0):
                try:
                    gone = not key.fileobj.recv(4096)
                except OSError:
                    gone = True
                if gone:
                    kind = self.open.pop(key.fileobj)[0]
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()
                    self.closed += 1
                    self.connect(kind)
            for connection, state in self.open.items():
                if state[2] >= len(state[1]):
                    continue
                try:
                    connection.send(state[1][state[2]:state[2] + 1])
                    state[2] += 1
                except OSError:
                    pass
            time.sleep(0.5)

    def stop(self):
        self.ended = True
        self.thread.join()
        for connection in self.open:
            connection.close()


def ask(connection):
    connection.request("GET", "/v1/stats", headers={"Host": "localhost"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise OSError(f"status {answer.status}")


def measure(address, seconds, fresh):
    """Returns the milliseconds of each request, and the number of refused requests."""
    times, refused = [], 0
    kept = http.client.HTTPConnection(*address, timeout=30)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        while True:
            connection = http.client.HTTPConnection(*address, timeout=30) if fresh else kept
            try:
                ask(connection)
                break
            except (OSError, http.client.HTTPException):
                refused += 1
                connection.close()
        if fresh:
            connection.close()
        times.append((time.monotonic() - start) * 1000)
        time.sleep(0.002)
    return times, refused


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--http", required=True)
    parser.add_argument("--grpc", required=True)
    parser.add_argument("--slow", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    http_address, grpc_address = ((a.rsplit(":", 1)[0], int(a.rsplit(":", 1)[1])) for a in (flags.http, flags.grpc))
    results = {(fresh, slow): ([], 0) for fresh in (False, True) for slow in (False, True)}
    for _ in range(flags.rounds):
        for slow in (False, True):
            crowd = Slow(flags.slow, http_address, grpc_address) if slow else None
            if crowd:
                time.sleep(2)
            for fresh in (False, True):
                times, refused = measure(http_address, flags.seconds / 2, fresh)
                before = results[fresh, slow]
                results[fresh, slow] = (before[0] + times, before[1] + refused)
            if crowd:
                crowd.stop()
                time.sleep(1)
    bad = False
    print(f"| a client whose connection is | slow clients | requests | refused | p50 ms | p99 ms |\n|{'---|' * 6}")
    for fresh in (False, True):
        for slow in (False, True):
            times, refused = results[fresh, slow]
            print(f"| {'new for each request' if fresh else 'kept'} | {flags.slow if slow else 0} | {len(times)} | {refused} | "
                  f"{percentile(times, 0.5):.2f} | {percentile(times, 0.99):.2f} |")
        quiet, crowded = (percentile(results[fresh, slow][0], 0.99) for slow in (False, True))
        bad = bad or crowded > max(2 * quiet, quiet + 5)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
