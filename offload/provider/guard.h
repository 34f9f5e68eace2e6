/*
 * Guards: every result is checked where it is had.
 *
 * Each function of this module has one error domain: either int, 1 for success and 0 for failure,
 * which is also libcrypto's, or a pointer, NULL for failure. ENSURE serves the first and ENSURE_PTR
 * the second.
 */
#ifndef OFFLOAD_GUARD_H
#define OFFLOAD_GUARD_H

#define ENSURE(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return 0;                                                                              \
        }                                                                                          \
    } while (0)

#define ENSURE_PTR(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return NULL;                                                                           \
        }                                                                                          \
    } while (0)

#endif
