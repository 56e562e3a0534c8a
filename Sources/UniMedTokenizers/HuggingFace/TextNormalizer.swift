import Foundation

/// What is done to a text before it is split (the `normalizer` of `tokenizer.json`).
indirect enum TextNormalizer: Sendable {
    case sequence([TextNormalizer])
    case canonicalComposition
    case canonicalDecomposition
    case compatibilityComposition
    case compatibilityDecomposition
    case prepend([UInt8])
    case replace(TextPattern, with: [UInt8])

    /// Reads a normalizer; its `type` selects the form.
    init(_ field: JSONField) throws(TokenizerError) {
        let type = try field.required("type")
        switch try type.string() {
        case "Sequence":
            var parts: [TextNormalizer] = []
            for part in try field.required("normalizers").elements() { parts.append(try TextNormalizer(part)) }
            self = .sequence(parts)
        case "NFC": self = .canonicalComposition
        case "NFD": self = .canonicalDecomposition
        case "NFKC": self = .compatibilityComposition
        case "NFKD": self = .compatibilityDecomposition
        case "Prepend": self = .prepend(Array(try field.required("prepend").bytes()))
        case "Replace":
            self = .replace(
                try TextPattern(field.required("pattern")),
                with: Array(try field.required("content").bytes())
            )
        case let name:
            throw type.error(.unsupported, "'\(name)', expected Sequence, NFC, NFD, NFKC, NFKD, Prepend or Replace")
        }
    }

    /// The normalized text.
    func callAsFunction(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        switch self {
        case .sequence(let parts):
            return parts.reduce(text) { $1($0) }
        case .canonicalComposition:
            return composed(text) { $0.precomposedStringWithCanonicalMapping }
        case .canonicalDecomposition:
            return composed(text) { $0.decomposedStringWithCanonicalMapping }
        case .compatibilityComposition:
            return composed(text) { $0.precomposedStringWithCompatibilityMapping }
        case .compatibilityDecomposition:
            return composed(text) { $0.decomposedStringWithCompatibilityMapping }
        case .prepend(let prefix):
            return text.isEmpty ? text : (prefix + text)[...]
        case .replace(let pattern, let content):
            let ranges = pattern.matches(in: text)
            if ranges.isEmpty { return text }
            var result: [UInt8] = []
            result.reserveCapacity(text.count)
            var position = text.startIndex
            for range in ranges {
                result += text[position..<range.lowerBound]
                result += content
                position = range.upperBound
            }
            return (result + text[position...])[...]
        }
    }

    private func composed(_ text: ArraySlice<UInt8>, _ form: (String) -> String) -> ArraySlice<UInt8> {
        if text.allSatisfy({ $0 < 0x80 }) { return text }
        return Array(form(String(decoding: text, as: UTF8.self)).utf8)[...]
    }
}
