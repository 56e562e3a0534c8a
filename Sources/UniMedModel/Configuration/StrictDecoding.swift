/// Any key, for looking at what a container holds.
private struct AnyKey: CodingKey {
    let stringValue: String
    let intValue: Int? = nil

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension Decoder {
    /// A container that throws when it holds a key that is not one of `Key`'s, so that a typing error is never ignored.
    package func strictContainer<Key: CodingKey & CaseIterable>(keyedBy type: Key.Type) throws
        -> KeyedDecodingContainer<Key>
    {
        let known = Set(Key.allCases.map(\.stringValue))
        for key in try container(keyedBy: AnyKey.self).allKeys where !known.contains(key.stringValue) {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: codingPath + [key],
                    debugDescription:
                        "unknown key \(key.stringValue); known here: \(known.sorted().joined(separator: ", "))"
                )
            )
        }
        return try container(keyedBy: type)
    }
}

extension KeyedDecodingContainer {
    /// Decodes a number that must be positive.
    package func decodePositive(_ key: Key, default value: Int? = nil) throws -> Int {
        let number: Int
        if let value {
            number = try decodeIfPresent(Int.self, forKey: key) ?? value
        } else {
            number = try decode(Int.self, forKey: key)
        }
        try require(number > 0, key, "must be positive, got \(number)")
        return number
    }

    /// Throws with the coding path of a key unless a condition holds.
    package func require(_ condition: Bool, _ key: Key, _ message: String) throws {
        guard condition else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: message)
        }
    }
}
