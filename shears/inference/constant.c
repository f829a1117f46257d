/* @NAME@.c: a network whose logits do not depend on the image; see @NAME@.h.
 *
 * Written by Shears. */

#include "@NAME@.h"

#include <stddef.h>

@TABLES@

void @NAME@_logits(const float *image, float *logits,
                   struct @NAME@_workspace *workspace)
{
    (void)image, (void)workspace;
    for (int i = 0; i < 10; i++)
        logits[i] = bias_6[i];
}

void @NAME@_logits_batch(const float *images, size_t count, float *logits,
                         struct @NAME@_workspace *workspace)
{
    for (size_t i = 0; i < count; i++)
        @NAME@_logits(images, logits + 10 * i, workspace);
}
