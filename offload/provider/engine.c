/* The Python module offload.provider._native.
 *
 * Why it is C: a handshake costs six or more calls through a foreign function interface (BIO_write,
 * SSL_do_handshake, SSL_get_error, BIO_read ...), and relayed data costs as many for every chunk.
 * Here each is one call.  Everything that decides stays in Python.
 *
 * It calls the very libssl that pyOpenSSL wraps, through addresses handed over by bind(); it links to
 * none.  The interpreter lock is kept during the calls: a front-end process has one thread, and
 * the sign hook switches greenlets, which wants the lock held from the outside in.
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <limits.h>
#include <string.h>

#include "hook.h"

enum { SSL_ERROR_SSL = 1, SSL_ERROR_WANT_READ = 2, SSL_ERROR_SYSCALL = 5, SSL_ERROR_ZERO_RETURN = 6 };

/* What a Stream's call came to; the values are part of _native.pyi. */
enum status { STATUS_WANT_READ = 0, STATUS_DONE = 1, STATUS_CLOSED = 2, STATUS_FAILED = 3 };

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;

/* Functions of the one libssl that pyOpenSSL uses: return type, name, parameters. */
#define LIBSSL_FUNCTIONS(X) \
    X(SSL *, SSL_new, (SSL_CTX *)) \
    X(void, SSL_free, (SSL *)) \
    X(void, SSL_set_accept_state, (SSL *)) \
    X(void, SSL_set_connect_state, (SSL *)) \
    X(void, SSL_set_bio, (SSL *, BIO *, BIO *)) \
    X(int, SSL_do_handshake, (SSL *)) \
    X(int, SSL_read, (SSL *, void *, int)) \
    X(int, SSL_write, (SSL *, const void *, int)) \
    X(int, SSL_shutdown, (SSL *)) \
    X(int, SSL_get_error, (const SSL *, int)) \
    X(const char *, SSL_get_version, (const SSL *)) \
    X(const SSL_CIPHER *, SSL_get_current_cipher, (const SSL *)) \
    X(const char *, SSL_CIPHER_get_name, (const SSL_CIPHER *)) \
    X(const char *, SSL_get0_group_name, (SSL *)) \
    X(int, SSL_session_reused, (SSL *)) \
    X(void, SSL_get0_alpn_selected, (const SSL *, const unsigned char **, unsigned int *)) \
    X(BIO *, BIO_new, (const BIO_METHOD *)) \
    X(int, BIO_free, (BIO *)) \
    X(const BIO_METHOD *, BIO_s_mem, (void)) \
    X(int, BIO_read, (BIO *, void *, int)) \
    X(int, BIO_write, (BIO *, const void *, int)) \
    X(void, ERR_clear_error, (void))

#define AS_MEMBER(result, name, parameters) result(*name) parameters;
#define AS_NAME(result, name, parameters) #name,
static struct {
    LIBSSL_FUNCTIONS(AS_MEMBER)
} openssl;
static const char *const FUNCTION_NAMES[] = {LIBSSL_FUNCTIONS(AS_NAME)};
enum { FUNCTIONS = sizeof FUNCTION_NAMES / sizeof FUNCTION_NAMES[0] };
_Static_assert(sizeof openssl == FUNCTIONS * sizeof(void *), "one name for each function");

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

static PyObject *sign_callable; /* set once by set_sign() */
static Stream *entered;         /* the stream whose handshake was entered last, until its hook is called */

/* The hook that the provider calls from within SSL_do_handshake.  A Python exception stays set for
 * Stream.handshake() to raise; outside of one it can only be reported. */
static int sign_hook(const struct offload_request *request, unsigned char *sig, size_t *sig_len, size_t sig_size)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    const int in_handshake = entered != NULL;
    PyObject *signature = NULL;
    char *bytes = NULL;
    Py_ssize_t length = 0;
    int ok = 0;

    entered = NULL;
    if (sign_callable == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no signer is set");
        goto end;
    }
    signature = PyObject_CallFunction(sign_callable, "y#siy#", (const char *)request->key_id,
                                      (Py_ssize_t)request->key_id_len, request->digest, request->padding,
                                      (const char *)request->tbs, (Py_ssize_t)request->tbs_len);
    if (signature == NULL || PyBytes_AsStringAndSize(signature, &bytes, &length) < 0) {
        goto end;
    }
    if (length <= 0 || (size_t)length > sig_size) {
        PyErr_Format(PyExc_ValueError, "a signature of %zd bytes does not fit the key", length);
        goto end;
    }
    memcpy(sig, bytes, (size_t)length);
    *sig_len = (size_t)length;
    ok = 1;
end:
    Py_XDECREF(signature);
    if (!ok && !in_handshake) {
        PyErr_WriteUnraisable(NULL);
    }
    PyGILState_Release(gil);
    return ok;
}

static enum status status_of(const Stream *self, int result)
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

/* All that waits in the outgoing BIO, behind what is in the scratch buffer already. */
static PyObject *take_output(const Stream *self)
{
    size_t used = 0;

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

static PyObject *with_status(enum status status, PyObject *first, PyObject *second)
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
    enum status status = STATUS_DONE;

    if (!usable(self) || PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    result = give_input(self, data.buf, data.len);
    PyBuffer_Release(&data);
    if (!result) {
        return NULL;
    }
    openssl.ERR_clear_error();
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
    enum status status = STATUS_WANT_READ;
    PyObject *plaintext = NULL;

    if (!usable(self) || PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    openssl.ERR_clear_error();
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
    openssl.ERR_clear_error();
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
    openssl.ERR_clear_error();
    (void)openssl.SSL_shutdown(self->ssl); /* a failure has nothing to send, and no remedy */
    openssl.ERR_clear_error();
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

static PyType_Spec stream_spec = {"offload.provider._native.Stream", sizeof(Stream), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, stream_slots};

static PyObject *module_bind(PyObject *Py_UNUSED(module), PyObject *addresses)
{
    void *found[FUNCTIONS];

    for (int i = 0; i < FUNCTIONS; i++) {
        PyObject *address = PyMapping_GetItemString(addresses, FUNCTION_NAMES[i]);
        found[i] = address == NULL ? NULL : PyLong_AsVoidPtr(address);
        Py_XDECREF(address);
        if (found[i] == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_ValueError, "the address of %s is null", FUNCTION_NAMES[i]);
            }
            return NULL;
        }
    }
    memcpy(&openssl, found, sizeof openssl);
    Py_RETURN_NONE;
}

static PyObject *module_set_sign(PyObject *Py_UNUSED(module), PyObject *callable)
{
    if (!PyCallable_Check(callable)) {
        PyErr_SetString(PyExc_TypeError, "the signer must be callable");
        return NULL;
    }
    PyObject *old = sign_callable;
    sign_callable = Py_NewRef(callable);
    Py_XDECREF(old);
    offload_set_sign(sign_hook);
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"bind", module_bind, METH_O, "bind(addresses): hand over libssl's functions, by name"},
    {"set_sign", module_set_sign, METH_O,
     "set_sign(callable): callable(key_id, digest, padding, tbs) -> signature makes every signature"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "offload.provider._native", NULL, -1, module_methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void);
__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&module_definition);
    PyObject *type = PyType_FromSpec(&stream_spec);
    PyObject *names = PyTuple_New(FUNCTIONS);

    for (int i = 0; names != NULL && i < FUNCTIONS; i++) {
        if (PyTuple_SetItem(names, i, PyUnicode_FromString(FUNCTION_NAMES[i])) < 0) {
            Py_CLEAR(names);
        }
    }
    if (module == NULL || type == NULL || names == NULL || PyModule_AddObjectRef(module, "Stream", type) < 0 ||
        PyModule_AddObjectRef(module, "FUNCTIONS", names) < 0 ||
        PyModule_AddIntConstant(module, "WANT_READ", STATUS_WANT_READ) < 0 ||
        PyModule_AddIntConstant(module, "DONE", STATUS_DONE) < 0 ||
        PyModule_AddIntConstant(module, "CLOSED", STATUS_CLOSED) < 0 ||
        PyModule_AddIntConstant(module, "FAILED", STATUS_FAILED) < 0) {
        Py_XDECREF(names);
        Py_XDECREF(type);
        Py_XDECREF(module);
        return NULL;
    }
    Py_DECREF(names);
    Py_DECREF(type);
    return module;
}
