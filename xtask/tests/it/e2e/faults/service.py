"""The service that the fault tests deploy: says its version, and can go wrong in several ways."""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = os.environ["VERSION"]
BEHAVIOUR = os.environ["BEHAVIOUR"]


class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if BEHAVIOUR == "is never healthy" else 200)
        self.end_headers()
        self.wfile.write(VERSION.encode())


def end(*_):
    # Not sys.exit: another thread may be the one that ends it.
    os._exit(0)


def late():
    print("planted: late", flush=True)
    os._exit(4)


signal.signal(signal.SIGTERM, end)
if BEHAVIOUR == "exits at once":
    sys.exit("planted: at once")
if BEHAVIOUR == "exits late":
    threading.Timer(5, late).start()
ThreadingHTTPServer(("", 8080), Health).serve_forever()
