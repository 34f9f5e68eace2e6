/* One TLS connection on memory BIOs, each step one call.
 *
 * Why it is C: a handshake costs six or more calls through a foreign function interface (BIO_write,
 * SSL_do_handshake, SSL_get_error, BIO_read ...), and relayed data costs as many for every chunk.
 * Here each is one.  Everything that decides stays in Python.
 *
 * The interpreter lock is kept during the calls: a front-end process has one thread, and the sign
 * hook switches greenlets, which wants the lock held from the outside in.
 */
#include "stream.h"

#include <limits.h>
#include <string.h>

/* One TLS record, and what many make: a socket read of the event loop is at most 256 KiB. */
enum { RECORD = 16384, SCRATCH = 512 * 1024 };
static unsigned char scratch[SCRATCH];

typedef struct {
    PyObject_HEAD
    SSL *ssl;
    BIO *in;           /* from the peer; the SSL owns it */
    BIO *out;          /* to the peer; the SSL owns it */
    PyObject *context; /* keeps callbacks and what they refer to alive */
    int busy;          /* inside SSL_do_handshake, perhaps suspended */
} Stream;

/* The stream whose handshake was entered last, until its signature is asked for. */
static Stream *entered;

int offload_stream_is_asking(void)
{
    const int asking = entered != NULL;

    entered = NULL;
    return asking;
}

static enum offload_status status_of(const Stream *self, int result)
{
    switch (openssl.SSL_get_error(self->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return STATUS_WANT_READ;
    case SSL_ERROR_ZERO_RETURN:
        return STATUS_CLOSED;
    default:
        return STATUS_FAILED;
    }
}

/* Refuses what OpenSSL cannot be asked now.  0 with an exception set, or 1. */
static int usable(const Stream *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "the handshake is suspended");
        return 0;
    }
    return 1;
}

/* SSL_get_error() must not see what another connection left in this thread's queue.  To look is cheaper
 * than to clear. */
static void forget_errors(void)
{
    if (openssl.ERR_peek_error() != 0) {
        openssl.ERR_clear_error();
    }
}

/* How much waits in a memory BIO. */
static long waiting(BIO *bio)
{
    char *data = NULL;

    return openssl.BIO_get_mem_data(bio, &data);
}

/* All that waits in the outgoing BIO, behind what is in the scratch buffer already. */
static PyObject *take_output(const Stream *self)
{
    size_t used = 0;

    if (waiting(self->out) == 0) {
        return PyBytes_FromStringAndSize(NULL, 0);
    }
    for (;;) {
        if (SCRATCH - used < RECORD) {
            PyErr_SetString(PyExc_MemoryError, "more output than one call can make");
            return NULL;
        }
        const int n = openssl.BIO_read(self->out, scratch + used, (int)(SCRATCH - used));
        if (n <= 0) {
            return PyBytes_FromStringAndSize((const char *)scratch, (Py_ssize_t)used);
        }
        used += (size_t)n;
    }
}

/* A memory BIO takes all or fails for want of memory. */
static int give_input(const Stream *self, const unsigned char *data, Py_ssize_t length)
{
    if (length > INT_MAX || (length > 0 && openssl.BIO_write(self->in, data, (int)length) != (int)length)) {
        PyErr_NoMemory();
        return 0;
    }
    return 1;
}

static PyObject *with_status(enum offload_status status, PyObject *first, PyObject *second)
{
    if (first == NULL || (second == NULL && PyErr_Occurred())) {
        Py_XDECREF(first);
        return NULL;
    }
    return second == NULL ? Py_BuildValue("(iN)", (int)status, first)
                          : Py_BuildValue("(iNN)", (int)status, first, second);
}

/* A memory BIO keeps the room that it ever needed, and a handshake's flight is the longest thing that an
 * idle connection has sent: give that back.  Without memory for a new BIO the old one serves. */
static void renew_output(Stream *self)
{
    BIO *out = openssl.BIO_new(openssl.BIO_s_mem());

    if (out != NULL) {
        openssl.SSL_set_bio(self->ssl, self->in, out); /* frees the old one, keeps `in` as it is */
        self->out = out;
    }
}

static PyObject *stream_handshake(PyObject *object, PyObject *argument)
{
    Stream *self = (Stream *)object;
    Py_buffer data;
    int result = 0;
    enum offload_status status = STATUS_DONE;

    if (!usable(self) || PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    result = give_input(self, data.buf, data.len);
    PyBuffer_Release(&data);
    if (!result) {
        return NULL;
    }
    forget_errors();
    self->busy = 1;
    entered = self;
    result = openssl.SSL_do_handshake(self->ssl);
    entered = NULL;
    self->busy = 0;
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (result != 1) {
        status = status_of(self, result);
    }
    PyObject *output = take_output(self);
    if (status == STATUS_DONE && output != NULL) {
        renew_output(self);
    }
    return with_status(status, output, NULL);
}

/* Reads all plaintext that is there, into the scratch buffer first. */
static PyObject *stream_receive(PyObject *object, PyObject *argument)
{
    Stream *self = (Stream *)object;
    Py_buffer data;
    Py_ssize_t offset = 0;
    size_t used = 0;
    enum offload_status status = STATUS_WANT_READ;
    PyObject *plaintext = NULL;

    if (!usable(self) || PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    forget_errors();
    do { /* a record's worth at a time keeps the BIO's buffer small for ever */
        const Py_ssize_t left = data.len - offset;
        const Py_ssize_t piece = left < RECORD ? left : RECORD;
        if (!give_input(self, (const unsigned char *)data.buf + offset, piece)) {
            goto end;
        }
        offset += piece;
        status = STATUS_WANT_READ;
        while (used < SCRATCH) {
            const int n = openssl.SSL_read(self->ssl, scratch + used, (int)(SCRATCH - used));
            if (n <= 0) {
                status = status_of(self, n);
                break;
            }
            used += (size_t)n;
            if (n < RECORD && waiting(self->in) == 0) {
                break; /* that was the last record: to ask again costs as much as to decrypt it */
            }
        }
    } while (status == STATUS_WANT_READ && offset < data.len && used < SCRATCH);
    if (used >= SCRATCH) {
        PyErr_SetString(PyExc_BufferError, "more plaintext than one call can take");
        goto end;
    }
    plaintext = PyBytes_FromStringAndSize((const char *)scratch, (Py_ssize_t)used);
end:
    PyBuffer_Release(&data);
    return plaintext == NULL ? NULL : with_status(status, plaintext, take_output(self));
}

/* What a record adds to its plaintext is 22 bytes in TLS 1.3 and at most 29 in TLS 1.2 with AEAD. */
enum { RECORD_OVERHEAD = 64 };

/* Encrypts all of it: partial writes take a record each.  Large outputs are bytearrays, which can be made
 * longer than they turn out to be, and so need no copy. */
static PyObject *stream_send(PyObject *object, PyObject *argument)
{
    Stream *self = (Stream *)object;
    Py_buffer data;
    Py_ssize_t offset = 0;
    Py_ssize_t used = 0;
    PyObject *output = NULL;
    char *target = (char *)scratch;
    Py_ssize_t room = SCRATCH;

    if (!usable(self) || PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    if (data.len > RECORD) {
        room = data.len + (data.len / RECORD + 1) * RECORD_OVERHEAD;
        output = PyByteArray_FromStringAndSize(NULL, room);
        target = output == NULL ? NULL : PyByteArray_AsString(output);
        if (target == NULL) {
            goto failed;
        }
    }
    forget_errors();
    while (offset < data.len) {
        const Py_ssize_t left = data.len - offset;
        const int n = openssl.SSL_write(self->ssl, (const unsigned char *)data.buf + offset,
                                        (int)(left < RECORD ? left : RECORD));
        if (n <= 0) {
            PyErr_SetString(PyExc_ConnectionError, "the TLS connection takes no more data");
            goto failed;
        }
        offset += n;
        const int m = openssl.BIO_read(self->out, target + used, (int)(room - used));
        used += m > 0 ? m : 0;
        if (room - used < (data.len - offset) + RECORD_OVERHEAD && offset < data.len) {
            PyErr_SetString(PyExc_BufferError, "more than the records of one call can take");
            goto failed;
        }
    }
    PyBuffer_Release(&data);
    if (output == NULL) {
        return PyBytes_FromStringAndSize(target, used);
    }
    if (PyByteArray_Resize(output, used) < 0) {
        Py_CLEAR(output);
    }
    return output;
failed:
    PyBuffer_Release(&data);
    Py_XDECREF(output);
    return NULL;
}

static PyObject *stream_shutdown(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Stream *self = (Stream *)object;

    if (!usable(self)) {
        return NULL;
    }
    forget_errors();
    (void)openssl.SSL_shutdown(self->ssl); /* a failure has nothing to send, and no remedy */
    forget_errors();
    return take_output(self);
}

/* What the handshake agreed on: (version, cipher, group, resumed, application protocol). */
static PyObject *stream_facts(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Stream *self = (Stream *)object;
    const unsigned char *alpn = NULL;
    unsigned int alpn_length = 0;

    if (!usable(self)) {
        return NULL;
    }
    const SSL_CIPHER *cipher = openssl.SSL_get_current_cipher(self->ssl);
    const char *group = openssl.SSL_get0_group_name(self->ssl);
    openssl.SSL_get0_alpn_selected(self->ssl, &alpn, &alpn_length);
    return Py_BuildValue("(sssNs#)", openssl.SSL_get_version(self->ssl),
                         cipher == NULL ? "" : openssl.SSL_CIPHER_get_name(cipher),
                         group == NULL ? "" : group, PyBool_FromLong(openssl.SSL_session_reused(self->ssl)),
                         alpn == NULL ? "" : (const char *)alpn, (Py_ssize_t)alpn_length);
}

static PyObject *stream_address(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr(((Stream *)object)->ssl);
}

/* Gives `self` an SSL with a memory BIO each way.  0 with an exception set, or 1. */
static int make_ssl(Stream *self, SSL_CTX *context, int server)
{
    SSL *ssl = openssl.SSL_new(context);
    BIO *in = openssl.BIO_new(openssl.BIO_s_mem());
    BIO *out = openssl.BIO_new(openssl.BIO_s_mem());

    if (ssl == NULL || in == NULL || out == NULL) {
        openssl.SSL_free(ssl); /* all three take NULL */
        (void)openssl.BIO_free(in);
        (void)openssl.BIO_free(out);
        PyErr_NoMemory();
        return 0;
    }
    openssl.SSL_set_bio(ssl, in, out);
    if (server) {
        openssl.SSL_set_accept_state(ssl);
    } else {
        openssl.SSL_set_connect_state(ssl);
    }
    self->ssl = ssl;
    self->in = in;
    self->out = out;
    return 1;
}

static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t address = 0;
    int server = 0;
    PyObject *context = NULL;
    Stream *self = NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);

    (void)kwargs;
    if (!PyArg_ParseTuple(args, "nOp", &address, &context, &server)) {
        return NULL;
    }
    if (address == 0 || openssl.SSL_new == NULL) {
        PyErr_SetString(PyExc_ValueError, "no SSL_CTX, or bind() was not called");
        return NULL;
    }
    self = (Stream *)allocate(type, 0);
    if (self == NULL || !make_ssl(self, (SSL_CTX *)address, server)) {
        Py_XDECREF((PyObject *)self);
        return NULL;
    }
    self->context = Py_NewRef(context);
    return (PyObject *)self;
}

static int stream_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((Stream *)object)->context);
    return 0;
}

static int stream_clear(PyObject *object)
{
    Py_CLEAR(((Stream *)object)->context);
    return 0;
}

static void stream_dealloc(PyObject *object)
{
    Stream *self = (Stream *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    PyObject_GC_UnTrack(object);
    if (self->ssl != NULL) {
        openssl.SSL_free(self->ssl);
    }
    (void)stream_clear(object);
    release(object);
    Py_DECREF(type);
}

static PyGetSetDef stream_members[] = {
    {"address", stream_address, NULL, "the address of the SSL, for functions that are not here", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyMethodDef stream_methods[] = {
    {"handshake", stream_handshake, METH_O, "handshake(data) -> (status, output): go on with the handshake"},
    {"receive", stream_receive, METH_O, "receive(data) -> (status, plaintext, output): decrypt"},
    {"send", stream_send, METH_O, "send(plaintext) -> output: encrypt"},
    {"shutdown", stream_shutdown, METH_NOARGS, "shutdown() -> output: send close_notify"},
    {"facts", stream_facts, METH_NOARGS, "facts() -> (version, cipher, group, resumed, application protocol)"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot stream_slots[] = {{Py_tp_new, (void *)stream_new},
                                     {Py_tp_dealloc, (void *)stream_dealloc},
                                     {Py_tp_traverse, (void *)stream_traverse},
                                     {Py_tp_clear, (void *)stream_clear},
                                     {Py_tp_methods, stream_methods},
                                     {Py_tp_getset, stream_members},
                                     {Py_tp_doc, "One TLS connection on memory BIOs."},
                                     {0, NULL}};

PyType_Spec offload_stream_spec = {"offload.provider._native.Stream", sizeof(Stream), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, stream_slots};
