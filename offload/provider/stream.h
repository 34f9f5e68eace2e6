/* The Python type of one TLS connection on memory BIOs. */
#ifndef OFFLOAD_STREAM_H
#define OFFLOAD_STREAM_H

#include "libssl.h"

/* What a Stream's call came to; the values are part of _native.pyi. */
enum offload_status { STATUS_WANT_READ = 0, STATUS_DONE = 1, STATUS_CLOSED = 2, STATUS_FAILED = 3 };

extern PyType_Spec offload_stream_spec;

/* Whether the signature that is asked for now is for a Stream's handshake; asked once for each. */
int offload_stream_is_asking(void);

#endif
