"""acme2certifier behind TLS, with its own certificate authority in files. It validates at the port that stands for port 80."""

import socket
import ssl
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

directory, port, http_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

from acme2certifier.acme_srv import helper  # noqa: E402

# Every name leads here, and so does port 80: the test has neither a name server on port 53 nor the right to listen there.
helper.fqdn_resolve = lambda *args, **kwargs: (["127.0.0.1"], False, None)
connect = socket.socket.connect
socket.socket.connect = lambda self, address: connect(
    self, (address[0], http_port) if isinstance(address, tuple) and address[1] == 80 else address
)

from acme2certifier.share.acme2certifier_wsgi import application  # noqa: E402


class Handler(WSGIRequestHandler):
    """One that looks up no names, and says that the road was encrypted."""

    def address_string(self):
        return self.client_address[0]

    def get_environ(self):
        return super().get_environ() | {"HTTPS": "on"}


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{directory}/endpoint.pem", f"{directory}/endpoint.key")
server = WSGIServer(("127.0.0.1", port), Handler)
server.set_app(application)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
