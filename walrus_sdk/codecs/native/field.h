/* GF(2^16) modulo x^16 + x^5 + x^3 + x^2 + 1, elements written in the Cantor basis of the Leopard code. */
#ifndef WALRUS_FIELD_H
#define WALRUS_FIELD_H

#include <stdint.h>

/* Make the tables; once, before anything multiplies. */
void field_prepare(void);

uint16_t field_multiply(uint16_t a, uint16_t b);

#endif
