"""Packets and tokens of TDS 7.4, as [MS-TDS] has them: what goes over the socket, and nothing of SQL."""

import socket
import ssl
import struct

BATCH, RPC, REPLY, ATTENTION, BULK, LOGIN, PRELOGIN = 1, 3, 4, 6, 7, 16, 18
DONE_FINAL, DONE_MORE, DONE_ERROR, DONE_COUNT, DONE_ATTENTION = 0, 1, 2, 0x10, 0x20
ENCRYPT_OFF, ENCRYPT_ON, ENCRYPT_NOT_SUPPORTED, ENCRYPT_REQUIRED = 0, 1, 2, 3
COLLATION = bytes.fromhex("0904d00034")  # SQL_Latin1_General_CP1_CI_AS
FLUSH_BYTES = 64 * 1024


class Gone(Exception):
    """The client has left."""


class Wire:
    """Messages over a socket, in packets; tokens of an answer are collected and sent in time."""

    def __init__(self, sock):
        self.sock = sock
        self.packet_size = 4096
        self.tls = None
        self.out = bytearray()
        self.packet_id = 0

    # --- packets ---

    def read_message(self):
        """The type of a message and its bytes, whole."""
        body = bytearray()
        while True:
            header = self._read_exact(8)
            kind, status, length = header[0], header[1], struct.unpack(">H", header[2:4])[0]
            body += self._read_exact(length - 8)
            if status & 1:
                return kind, bytes(body)

    def send_message(self, kind, body, last=True):
        size = self.packet_size - 8
        view, sent = memoryview(body), bytearray()
        pieces = [view[at : at + size] for at in range(0, len(view), size)] or [view]
        for at, piece in enumerate(pieces):
            self.packet_id = (self.packet_id + 1) % 256
            ends = last and at == len(pieces) - 1
            sent += struct.pack(">BBHHBB", kind, int(ends), len(piece) + 8, 0, self.packet_id, 0)
            sent += piece
        self._send(bytes(sent))

    def attention_waits(self):
        """Whether the client has said something while it should be listening."""
        if self.tls is not None and self.tls.pending():
            return True
        self.sock.setblocking(False)
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            raise Gone() from error
        finally:
            self.sock.setblocking(True)

    def _read_exact(self, count):
        data = bytearray()
        while len(data) < count:
            try:
                piece = self.tls.recv(count - len(data)) if self.tls else self.sock.recv(count - len(data))
            except (OSError, ssl.SSLError) as error:
                raise Gone() from error
            if not piece:
                raise Gone()
            data += piece
        return bytes(data)

    def _send(self, data):
        try:
            (self.tls or self.sock).sendall(data)
        except (OSError, ssl.SSLError) as error:
            raise Gone() from error

    # --- the handshake ---

    def prelogin(self, certificate, key):
        """Answers the client's first message; encrypts if it wants that and there is a certificate."""
        kind, body = self.read_message()
        if kind != PRELOGIN:
            raise Gone()
        wanted = _prelogin_options(body).get(1, b"\x02")[0]
        encrypts = certificate is not None and wanted in (ENCRYPT_ON, ENCRYPT_REQUIRED)
        answer = ENCRYPT_ON if encrypts else ENCRYPT_NOT_SUPPORTED
        self.send_message(REPLY, _prelogin(answer))
        if encrypts:
            self._start_tls(certificate, key)
        return encrypts

    def _start_tls(self, certificate, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The handshake of TLS 1.3 ends with records that the client does not wrap in packets any more.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush_handshake(outgoing)
                incoming.write(self.read_message()[1])
            except ssl.SSLError as error:
                raise Gone() from error
        self._flush_handshake(outgoing)
        self.tls = _Tls(self.sock, tls, incoming, outgoing)

    def _flush_handshake(self, outgoing):
        data = outgoing.read()
        if data:
            self.send_message(PRELOGIN, data)

    # --- tokens ---

    def token(self, data):
        self.out += data
        if len(self.out) >= FLUSH_BYTES:
            self.flush(last=False)

    def flush(self, last=True):
        if last:
            body, self.out = bytes(self.out), bytearray()
        else:
            # The last packet of a message may not be empty: something is kept back.
            whole = (len(self.out) - 1) // (self.packet_size - 8) * (self.packet_size - 8)
            body, self.out = bytes(self.out[:whole]), self.out[whole:]
        self.send_message(REPLY, body, last)

    def done(self, rows=None, more=False, error=False, attention=False):
        status = (DONE_MORE if more else 0) | (DONE_ERROR if error else 0)
        status |= (DONE_COUNT if rows is not None else 0) | (DONE_ATTENTION if attention else 0)
        self.token(struct.pack("<BHHQ", 0xFD, status, 0xC1, rows or 0))

    def error(self, number, message, severity=16, state=1):
        self.token(_message(0xAA, number, message, severity, state))

    def environment(self, kind, new, old=b""):
        body = bytes([kind]) + new + old
        self.token(b"\xe3" + struct.pack("<H", len(body)) + body)

    def environment_text(self, kind, new, old=""):
        self.environment(kind, b_varchar(new), b_varchar(old))

    def transaction(self, kind, descriptor):
        """Tells that a transaction began (8), was committed (9) or rolled back (10)."""
        told = bytes([8]) + struct.pack("<Q", descriptor)
        self.environment(kind, *((told, b"\x00") if kind == 8 else (b"\x00", told)))

    def login_acknowledged(self, version):
        name = b_varchar("Microsoft SQL Server")
        body = b"\x01" + struct.pack(">I", 0x74000004) + name + bytes(version)
        self.token(b"\xad" + struct.pack("<H", len(body)) + body)


class _Tls:
    """TLS over a socket whose handshake went another way."""

    def __init__(self, sock, tls, incoming, outgoing):
        self.sock, self.tls, self.incoming, self.outgoing = sock, tls, incoming, outgoing

    def pending(self):
        return self.tls.pending()

    def recv(self, count):
        while True:
            try:
                return self.tls.read(count)
            except ssl.SSLWantReadError:
                data = self.sock.recv(65536)
                if not data:
                    return b""
                self.incoming.write(data)

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
        self.sock.sendall(self.outgoing.read())


def b_varchar(text):
    return bytes([len(text.encode("utf-16-le")) // 2]) + text.encode("utf-16-le")


def us_varchar(text):
    data = text.encode("utf-16-le", "surrogatepass")
    return struct.pack("<H", len(data) // 2) + data


def _message(token, number, message, severity, state):
    body = struct.pack("<iBB", number, state, severity) + us_varchar(message)
    body += b_varchar("double") + b_varchar("") + struct.pack("<I", 1)
    return bytes([token]) + struct.pack("<H", len(body)) + body


def _prelogin(encryption):
    options = [(0, bytes([16, 0, 0, 0, 0, 0])), (1, bytes([encryption])), (2, b"\0"), (3, b""), (4, b"\0")]
    head, data = bytearray(), bytearray()
    start = 5 * len(options) + 1
    for kind, value in options:
        head += struct.pack(">BHH", kind, start + len(data), len(value))
        data += value
    return bytes(head + b"\xff" + data)


def _prelogin_options(body):
    options, at = {}, 0
    while body[at] != 0xFF:
        kind, offset, length = struct.unpack(">BHH", body[at : at + 5])
        options[kind] = body[offset : offset + length]
        at += 5
    return options


def parse_login(body):
    """User, password and database of a LOGIN7 message, and the packet size it asks for."""
    packet_size = struct.unpack("<I", body[8:12])[0]
    # Host, user, password, program, server, extension, library, language, database.
    places = [struct.unpack("<HH", body[36 + 4 * n : 40 + 4 * n]) for n in range(9)]
    text = lambda n: body[places[n][0] : places[n][0] + 2 * places[n][1]]
    hidden = bytes(((byte ^ 0xA5) << 4 & 0xF0) | ((byte ^ 0xA5) >> 4) for byte in text(2))
    decode = lambda data: data.decode("utf-16-le")
    return decode(text(1)), decode(hidden), decode(text(8)), packet_size


def parse_batch(body):
    """The text of a batch, without the headers before it."""
    return body[struct.unpack("<I", body[:4])[0] :].decode("utf-16-le", "surrogatepass")
