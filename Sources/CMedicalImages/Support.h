#ifndef CMEDICALIMAGES_SUPPORT_H
#define CMEDICALIMAGES_SUPPORT_H

#include <cstdarg>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "CMedicalImages.h"

namespace medical {

/// What went wrong; thrown inside, and turned into a status at the border.
struct Failure {
    int32_t status;
    std::string text;
};

[[noreturn]] __attribute__((format(printf, 2, 3))) inline void fail(int32_t status, const char *format, ...) {
    char text[MEDICAL_MESSAGE_CAPACITY];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Failure{status, text};
}

inline int32_t tell(char *message, int32_t status, const char *text) {
    snprintf(message, MEDICAL_MESSAGE_CAPACITY, "%s", text);
    for (char *c = message; *c; c++) {
        if (static_cast<unsigned char>(*c) < 0x20) *c = ' ';
    }
    return status;
}

/// Runs what may throw; the only place where exceptions end.
template <typename Body>
int32_t guarded(char *message, Body body) noexcept {
    try {
        body();
        return MEDICAL_OK;
    } catch (const Failure &failure) {
        return tell(message, failure.status, failure.text.c_str());
    } catch (const std::bad_alloc &) {
        return tell(message, MEDICAL_OUT_OF_MEMORY, "no memory");
    } catch (const std::exception &) {
        return tell(message, MEDICAL_MALFORMED, "the decoder gave up");
    } catch (...) {
        return tell(message, MEDICAL_MALFORMED, "the decoder gave up");
    }
}

/// Some bytes that somebody else owns.
struct Bytes {
    const uint8_t *start = nullptr;
    size_t count = 0;
};

/// Inflates a zlib stream; `window` as inflateInit2 takes it.
std::vector<uint8_t> inflated(Bytes source, int window, size_t maximum_count);

/// What a frame is said to be, before its code stream is opened.
struct FrameShape {
    int32_t rows;
    int32_t columns;
    int32_t samples;
    int32_t bits_allocated;
    int32_t bits_stored;
    bool is_signed;

    size_t value_count() const { return size_t(rows) * size_t(columns) * size_t(samples); }
};

/// Decodes a JPEG 2000 code stream; returns whether its inverse colour transform has been applied.
bool decode_jpeg2000(Bytes stream, const FrameShape &shape, int32_t *values);

/// Brings a cell to the value that its stored bits mean.
inline int32_t stored_value(uint32_t cell, int32_t shift, int32_t bits, bool is_signed) {
    cell >>= shift;
    if (bits >= 32) return int32_t(cell);
    cell &= (uint32_t(1) << bits) - 1;
    if (is_signed && (cell >> (bits - 1) & 1)) cell |= ~((uint32_t(1) << bits) - 1);
    return int32_t(cell);
}

}  // namespace medical

#endif
