/* SPDX-License-Identifier: ISC
 *
 * Content encodings, as clients accept them.
 */
#ifndef DEMOS_HTTP_ENCODING_H
#define DEMOS_HTTP_ENCODING_H

/* The encodings that a file may have beside itself, the preferred one first. */
enum encoding { ENCODING_BROTLI, ENCODING_GZIP, N_ENCODINGS };

struct encoding_names {
    const char *name, *extension;
};

extern const struct encoding_names encodings[N_ENCODINGS];

/* Stores which encodings a client accepts at least as well as none, by the value of its Accept-Encoding or NULL, the
 * best one first. Returns their number. */
unsigned encodings_accepted(const char *value, enum encoding accepted[N_ENCODINGS]);

#endif
