#include "Structure.h"

#include <cstring>

namespace medical {

namespace {

constexpr uint32_t undefined_length = 0xFFFFFFFF;
constexpr size_t maximum_depth = 64;  // items and sequences
constexpr uint32_t item_tag = 0xFFFEE000, item_end_tag = 0xFFFEE00D, sequence_end_tag = 0xFFFEE0DD;

struct Reader {
    Bytes bytes;
    bool is_big_endian;

    uint32_t number(size_t position, int count) const {
        uint32_t value = 0;
        for (int i = 0; i < count; i++) {
            const int place = is_big_endian ? i : count - 1 - i;
            value = value << 8 | bytes.start[position + size_t(place)];
        }
        return value;
    }
    uint32_t tag(size_t position) const { return number(position, 2) << 16 | number(position + 2, 2); }
};

/// What stands in front of a value.
struct Header {
    uint32_t tag;
    char vr[3];
    uint32_t length;
    size_t value;
};

bool is_vr(const char *vr) {
    static const char known[][3] = {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT",
                                    "OB", "OD", "OF", "OL", "OV", "OW", "PN", "SH", "SL", "SQ", "SS", "ST",
                                    "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV"};
    for (const char *one : known) {
        if (std::memcmp(one, vr, 2) == 0) return true;
    }
    return false;
}

bool has_long_header(const char *vr) {
    static const char known[][3] = {
        "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"};
    for (const char *one : known) {
        if (std::memcmp(one, vr, 2) == 0) return true;
    }
    return false;
}

[[noreturn]] void fail_at(uint32_t tag, const char *problem) {
    fail(MEDICAL_MALFORMED, "(%04X,%04X): %s", tag >> 16, tag & 0xFFFF, problem);
}

Header read_header(const Reader &reader, size_t position, size_t limit, bool is_explicit) {
    if (limit - position < 8) fail(MEDICAL_MALFORMED, "the data set ends inside an element");
    Header header{reader.tag(position), "", 0, position + 8};
    const bool has_vr = is_explicit && header.tag >> 16 != 0xFFFE;
    if (!has_vr) {
        header.length = reader.number(position + 4, 4);
        return header;
    }
    std::memcpy(header.vr, reader.bytes.start + position + 4, 2);
    header.vr[2] = 0;
    if (!is_vr(header.vr)) fail_at(header.tag, "the element has no value representation that is known");
    if (!has_long_header(header.vr)) {
        header.length = reader.number(position + 6, 2);
        return header;
    }
    if (limit - position < 12) fail_at(header.tag, "the data set ends inside the element");
    header.length = reader.number(position + 8, 4);
    header.value = position + 12;
    return header;
}

/// An item or a sequence that is open.
struct Level {
    bool is_sequence;
    bool is_explicit;
    bool has_end;
    size_t limit;
};

bool is_pixel_data(uint32_t tag) { return tag == 0x7FE00010 || tag == 0x7FE00008 || tag == 0x7FE00009; }

void read_fragments(const Reader &reader, size_t position, PixelExtent &pixels) {
    const size_t end = reader.bytes.count;
    bool is_first = true;
    for (;;) {
        if (end - position < 8) fail_at(pixels.tag, "the fragments of Pixel Data are truncated");
        const uint32_t tag = reader.tag(position);
        const uint32_t length = reader.number(position + 4, 4);
        position += 8;
        if (tag == sequence_end_tag) return;
        if (tag != item_tag || length == undefined_length || length > end - position) {
            fail_at(pixels.tag, "the fragments of Pixel Data are damaged or truncated");
        }
        if (is_first) {
            for (size_t i = 0; i + 4 <= length; i += 4) pixels.offsets.push_back(reader.number(position + i, 4));
        } else {
            pixels.fragments.push_back({reader.bytes.start + position, length});
        }
        is_first = false;
        position += length;
    }
}

}  // namespace

MetaInformation read_meta(Bytes file) {
    if (file.count < 132 || std::memcmp(file.start + 128, "DICM", 4) != 0) {
        fail(MEDICAL_MALFORMED, "this is not a DICOM file: 'DICM' is missing after the preamble");
    }
    const Reader reader{file, false};
    MetaInformation meta;
    size_t position = 132;
    while (file.count - position >= 8 && reader.tag(position) >> 16 == 0x0002) {
        const Header header = read_header(reader, position, file.count, true);
        if (header.length > file.count - header.value) fail_at(header.tag, "the value is longer than the file");
        if (header.tag == 0x00020010) {
            meta.transfer_syntax.assign(
                reinterpret_cast<const char *>(file.start) + header.value, std::min<uint32_t>(header.length, 64));
            const size_t last = meta.transfer_syntax.find_last_not_of(std::string("\0 ", 2));
            meta.transfer_syntax.resize(last == std::string::npos ? 0 : last + 1);
            for (char c : meta.transfer_syntax) {
                if ((c < '0' || c > '9') && c != '.') fail_at(header.tag, "the transfer syntax is no identifier");
            }
        }
        position = header.value + header.length;
    }
    if (meta.transfer_syntax.empty()) fail(MEDICAL_MALFORMED, "(0002,0010) Transfer Syntax UID is missing");
    meta.data_set_start = position;
    return meta;
}

PixelExtent check_structure(Bytes data_set, Encoding encoding) {
    const Reader reader{data_set, encoding.is_big_endian};
    std::vector<Level> levels{{false, encoding.is_explicit, true, data_set.count}};
    PixelExtent pixels;
    size_t position = 0;
    while (!levels.empty()) {
        const Level level = levels.back();
        if (level.has_end && position == level.limit) {
            levels.pop_back();
            continue;
        }
        const Header header = read_header(reader, position, level.limit, level.is_explicit);
        const uint32_t tag = header.tag;
        const bool is_endless = header.length == undefined_length;
        if (!is_endless && header.length > level.limit - header.value) {
            const size_t there = level.limit - header.value;
            fail(
                MEDICAL_MALFORMED, "(%04X,%04X): %u bytes are announced, %zu are there", tag >> 16, tag & 0xFFFF,
                header.length, there);
        }
        if (levels.size() >= maximum_depth) fail_at(tag, "sequences are nested too deeply");
        const size_t limit = is_endless ? level.limit : header.value + header.length;
        if (level.is_sequence) {
            if (tag == sequence_end_tag && !level.has_end) {
                levels.pop_back();
            } else if (tag == item_tag) {
                levels.push_back({false, level.is_explicit, !is_endless, limit});
            } else {
                fail_at(tag, "an item of a sequence is expected");
            }
            position = header.value;
            continue;
        }
        if (tag == item_end_tag && !level.has_end) {
            levels.pop_back();
            position = header.value;
            continue;
        }
        if (tag >> 16 == 0xFFFE) fail_at(tag, "the element stands outside a sequence");
        if (levels.size() == 1 && is_pixel_data(tag)) {
            pixels.tag = tag;
            pixels.start = position;
            pixels.is_encapsulated = is_endless;
            pixels.has_words = !level.is_explicit || std::strcmp(header.vr, "OW") == 0;
            if (is_endless) {
                read_fragments(reader, header.value, pixels);
            } else {
                pixels.native = {data_set.start + header.value, header.length};
            }
            return pixels;
        }
        const bool is_unknown = level.is_explicit && std::strcmp(header.vr, "UN") == 0;
        const bool is_sequence = level.is_explicit
            ? std::strcmp(header.vr, "SQ") == 0
            // Without a dictionary an implicit sequence is told by what it holds.
            : header.length >= 8 && limit - header.value >= 8 && reader.tag(header.value) == item_tag;
        if (is_endless) {
            if (level.is_explicit && !is_unknown && !is_sequence) fail_at(tag, "the value has no length");
            // What an unknown element of undefined length holds is written as implicit little endian.
            if (is_unknown && encoding.is_big_endian) fail_at(tag, "the value has no length");
            levels.push_back({true, level.is_explicit && !is_unknown, false, level.limit});
            position = header.value;
        } else if (is_sequence) {
            levels.push_back({true, level.is_explicit, true, limit});
            position = header.value;
        } else {
            position = limit;
        }
    }
    if (position != data_set.count) fail(MEDICAL_MALFORMED, "the data set ends inside a sequence");
    pixels.start = data_set.count;
    return pixels;
}

}  // namespace medical
