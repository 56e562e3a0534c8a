/// A table between the names of tensors in a file and in a model, in both directions.
///
/// Each row has a pattern of the file's names and a pattern of the model's names; `nil` means that the file's tensor is
/// dropped on purpose. Names consist of components between points; `*` stands for one component and `**` for one or more.
/// The first row that fits is taken, and a name that no row fits is unknown, so that nothing is skipped unseen.
///
/// ```swift
/// let map: KeyMap = [
///     "visual_encoder.norm.*": nil,
///     "visual_encoder.**": "encoder.**",
/// ]
/// ```
public struct KeyMap: Sendable, ExpressibleByDictionaryLiteral {
    /// Where a tensor of a file goes.
    public enum Destination: Equatable, Sendable {
        /// The parameter of this name.
        case parameter(String)
        /// Nowhere, on purpose.
        case dropped
        /// No row of the table fits.
        case unknown
    }

    private struct Row: Sendable {
        let file: KeyPattern
        let model: KeyPattern?
    }

    private let rows: [Row]

    /// Every name stays as it is.
    public static let identity: KeyMap = ["**": "**"]

    /// Makes a map of rows, which are tried in order.
    ///
    /// - Precondition: Both patterns of a row have the same wildcards in the same order.
    public init(_ rows: [(file: String, model: String?)]) {
        self.rows = rows.map { file, model in
            let row = Row(file: KeyPattern(file), model: model.map(KeyPattern.init))
            precondition(
                row.model.map { $0.wildcards == row.file.wildcards } ?? true,
                "the patterns '\(file)' and '\(model ?? "")' have different wildcards"
            )
            return row
        }
    }

    /// Makes a map of rows, which are tried in order.
    public init(dictionaryLiteral elements: (String, String?)...) {
        self.init(elements.map { (file: $0.0, model: $0.1) })
    }

    /// A map that tries the rows of this one and then those of another.
    public func followed(by other: KeyMap) -> KeyMap { KeyMap(rows: rows + other.rows) }

    private init(rows: [Row]) { self.rows = rows }

    /// Where a tensor of a file goes.
    public func destination(ofFileKey key: String) -> Destination {
        for row in rows {
            guard let captures = row.file.match(key) else { continue }
            return row.model.map { .parameter($0.filled(with: captures)) } ?? .dropped
        }
        return .unknown
    }

    /// The name in the file of a model's parameter, `nil` when there is none.
    ///
    /// The name leads back to the same parameter.
    public func fileKey(ofParameter name: String) -> String? {
        for row in rows {
            guard let model = row.model, let captures = model.match(name) else { continue }
            let key = row.file.filled(with: captures)
            if destination(ofFileKey: key) == .parameter(name) { return key }
        }
        return nil
    }

    /// Gives parameters the names that they have in the file, for writing it.
    ///
    /// - Throws: ``CheckpointError`` of kind `mismatch`, with the count and first names of parameters without a name.
    public func fileEntries<Value>(
        of parameters: [(name: String, value: Value)]
    ) throws(CheckpointError) -> [(String, Value)] {
        var entries: [(String, Value)] = []
        var unnamed: [String] = []
        for (name, value) in parameters {
            if let key = fileKey(ofParameter: name) { entries.append((key, value)) } else { unnamed.append(name) }
        }
        guard unnamed.isEmpty else {
            throw CheckpointError(
                .mismatch,
                file: nil,
                "\(unnamed.count) parameters have no name in the file's table (\(listed(unnamed)))"
            )
        }
        return entries
    }
}

/// Names of tensors with wildcards: `*` is one component, `**` one or more.
struct KeyPattern: Sendable {
    private let components: [Substring]

    let wildcards: [Substring]

    init(_ pattern: String) {
        components = pattern.split(separator: ".", omittingEmptySubsequences: false)
        wildcards = components.filter { $0 == "*" || $0 == "**" }
        precondition(wildcards.count { $0 == "**" } <= 1, "the pattern '\(pattern)' has more than one '**'")
    }

    /// What the wildcards stand for, `nil` when the name does not fit.
    func match(_ name: String) -> [Substring]? {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        let hasRest = wildcards.contains("**")
        guard hasRest ? parts.count >= components.count : parts.count == components.count else { return nil }
        var captures: [Substring] = []
        var position = 0
        for component in components {
            switch component {
            case "**":
                let count = parts.count - components.count + 1
                let first = parts[position]
                let last = parts[position + count - 1]
                captures.append(name[first.startIndex..<last.endIndex])
                position += count
            case "*":
                captures.append(parts[position])
                position += 1
            default:
                guard parts[position] == component else { return nil }
                position += 1
            }
        }
        return captures
    }

    func filled(with captures: [Substring]) -> String {
        var rest = captures[...]
        return components.map { $0 == "*" || $0 == "**" ? rest.popFirst() ?? $0 : $0 }.joined(separator: ".")
    }
}
