/// The characters that stand for bytes in the vocabularies of GPT-2 and its descendants.
///
/// The printable characters of Latin-1 stand for themselves; the other bytes, in order, are U+0100 and what follows:
/// a space is `Ġ`, a line feed `Ċ`.
enum ByteLevelAlphabet {
    /// The character of every byte.
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0...255).map { (byte: UInt32) -> Unicode.Scalar in
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
                return Unicode.Scalar(UInt8(byte))
            }
            defer { next += 1 }
            return Unicode.Scalar(next) ?? "?"
        }
    }()

    /// The UTF-8 of the character of every byte.
    static let spellings: [[UInt8]] = scalars.map { Array(String($0).utf8) }

    private static let bytes = Dictionary(uniqueKeysWithValues: scalars.enumerated().map { ($1.value, UInt8($0)) })

    /// The spelling of bytes, as UTF-8.
    static func spelling(of bytes: some Sequence<UInt8>) -> [UInt8] { bytes.flatMap { spellings[Int($0)] } }

    /// The bytes that a spelling stands for; `nil` when it has a character that stands for none.
    static func bytes(of spelling: ArraySlice<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(spelling.count)
        for scalar in String(decoding: spelling, as: UTF8.self).unicodeScalars {
            guard let byte = bytes[scalar.value] else { return nil }
            result.append(byte)
        }
        return result
    }
}
