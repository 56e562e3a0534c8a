/// Names of parameters with `*` for any characters, and `|` between alternatives.
public struct NamePattern: Sendable, Equatable, CustomStringConvertible {
    /// The pattern as it was written.
    public let description: String
    private let alternatives: [[Character]]

    /// Makes a pattern.
    public init(_ text: String) {
        description = text
        alternatives = text.split(separator: "|").map(Array.init)
    }

    /// Whether a whole name fits.
    public func matches(_ name: String) -> Bool {
        let name = Array(name)
        return alternatives.contains { Self.matches($0, name) }
    }

    private static func matches(_ pattern: [Character], _ name: [Character]) -> Bool {
        var (p, n) = (0, 0)
        // Where the last star stands, and how far the name was then.
        var star: (pattern: Int, name: Int)?
        while n < name.count {
            if p < pattern.count, pattern[p] == "*" {
                star = (p, n)
                p += 1
            } else if p < pattern.count, pattern[p] == name[n] {
                (p, n) = (p + 1, n + 1)
            } else if let last = star {
                star = (last.pattern, last.name + 1)
                (p, n) = (last.pattern + 1, last.name + 1)
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == "*" }
    }
}
