#ifndef CIMAGECODECS_SUPPORT_H
#define CIMAGECODECS_SUPPORT_H

#include "CImageCodecs.h"

/* Writes one line into a message buffer and returns the status, so that a failure is one statement. */
__attribute__((format(printf, 3, 4))) int32_t image_codec_fail(
    char *message, int32_t status, const char *format, ...);

/* Checks the size and allocates the samples; on failure `picture` is untouched. */
int32_t image_codec_allocate(
    uint64_t width, uint64_t height, int32_t layout, size_t maximum_pixels, image_codec_picture *picture,
    char *message);

/* Decodes a PNG file of a usual kind, fast; 0 where it is left to libpng: then `picture` is untouched. */
int image_codec_take_png(const uint8_t *bytes, size_t count, size_t maximum_pixels, image_codec_picture *picture);

#endif
