import Foundation
import UniMedModel

/// A key of any name.
struct AnyKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(_ name: String) {
        stringValue = name
        intValue = nil
    }

    init?(stringValue: String) { self.init(stringValue) }

    init?(intValue: Int) {
        stringValue = "\(intValue)"
        self.intValue = intValue
    }
}

extension Decoder {
    /// Throws when the mapping has a key that no field is read from: a mistyped setting is never ignored.
    func rejectUnknownKeys(_ known: [String]) throws {
        try container(keyedBy: AnyKey.self).rejectUnknownKeys(known)
    }
}

extension KeyedDecodingContainer where Key == AnyKey {
    func rejectUnknownKeys(_ known: [String]) throws {
        let unknown = allKeys.filter { !known.contains($0.stringValue) }
        guard let first = unknown.min(by: { $0.stringValue < $1.stringValue }) else { return }
        throw DecodingError.dataCorrupted(
            DecodingError.Context(
                codingPath: codingPath + [first],
                debugDescription: "unknown key; there are \(known.sorted().joined(separator: ", "))"
            )
        )
    }
}

extension KeyedDecodingContainer {
    /// Decodes a value, or takes the default where the key is absent.
    func decode<Value: Decodable>(_ key: Key, default value: @autoclosure () -> Value) throws -> Value {
        try decodeIfPresent(Value.self, forKey: key) ?? value()
    }

    /// Decodes a type of another room, and rejects keys that its encoded form does not have.
    func decodeStrictly<Value: Codable>(_ key: Key, default value: Value) throws -> Value {
        guard contains(key) else { return value }
        let encoded = try JSONSerialization.jsonObject(with: JSONEncoder().encode(value)) as? [String: Any]
        let inner = try nestedContainer(keyedBy: AnyKey.self, forKey: key)
        try inner.rejectUnknownKeys(Array((encoded ?? [:]).keys))
        return try decode(Value.self, forKey: key)
    }
}
