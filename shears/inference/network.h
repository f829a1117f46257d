/* @NAME@: a pruned network for CIFAR-10 as code, without dependencies.
 *
 * Build: cc -std=c99 -O3 -march=native -ffp-contract=fast -c @NAME@.c
 *
 * With GCC and Clang it uses vectors of the target's width; with -DSHEARS_LANES=1, and
 * with any other compiler, it is plain C99. Nothing is allocated and no static data is
 * written: threads that have a workspace each may call these functions at once.
 *
 * An image is 32 rows of 32 pixels of red, green and blue, divided by 255.
 *
 * @NUMBERS@
 *
 * Written by Shears. */

#ifndef @MACRO@_H
#define @MACRO@_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The workspace: anywhere in memory, its contents do not matter. With
 * -D@MACRO@_SINGLE, wherever this is included, it is smaller; batches are then
 * computed an image at a time. */
struct @NAME@_workspace {
#ifdef @MACRO@_SINGLE
    float memory[@SINGLE@];
#else
    float memory[@BATCH@];
#endif
};

/* Computes the 10 logits of an image. */
void @NAME@_logits(const float *image, float *logits,
                   struct @NAME@_workspace *workspace);

/* Computes the logits of `count` images: (count, 32, 32, 3) to (count, 10). */
void @NAME@_logits_batch(const float *images, size_t count, float *logits,
                         struct @NAME@_workspace *workspace);

#ifdef __cplusplus
}
#endif

#endif
