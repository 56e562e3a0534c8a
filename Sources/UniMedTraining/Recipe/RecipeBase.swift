import Foundation
import Yams

/// Recipes that build on another one.
///
/// ```yaml
/// base: ../uni-med.yaml
/// name: sixteen-experts
/// model:
///   connector: {expertCount: 16}       # merged, key by key
///   fineTuning: !replace {method: full}  # takes the base's place whole
/// ```
///
/// Mappings are merged key by key, everything else (and a mapping marked `!replace`) takes the base's place. A base may
/// have a base itself. Its relative paths stay relative to its own folder.
struct RecipeBase {
    /// The key that names the base.
    static let key = "base"
    private static let replacingTag = "!replace"
    /// As the decoder's own: what a scalar is, the type that is read from it says.
    static let resolver = Resolver.basic.appending(.merge)

    /// The recipe with what its bases say.
    let node: Node
    /// The base as the recipe names it; `nil` without one.
    let name: String?

    /// Reads a recipe's text and its bases.
    ///
    /// - Parameter file: The recipe's path, which its base is relative to.
    /// - Throws: ``RecipeError`` that names the file whose base is missing, or leads back to itself, and the field `base`.
    init(_ text: String, file: String?) throws(RecipeError) {
        try self.init(text, file: file, builders: [])
    }

    /// - Parameter builders: The files that build on this one, outermost first.
    private init(_ text: String, file: String?, builders: [URL]) throws(RecipeError) {
        let own: Node
        do {
            own = try compose(yaml: text, Self.resolver) ?? Node("")
        } catch {
            throw RecipeError(decoding: error, file: file)
        }
        guard let mapping = own.mapping, let named = mapping.first(where: { $0.key.string == Self.key })?.value else {
            (node, name) = (Self.unmarked(own), nil)
            return
        }
        guard named.scalar != nil, named.null == nil, let name = named.string else {
            throw RecipeError("expected the path of a recipe", file: file, field: Self.key)
        }
        guard let file else {
            throw RecipeError("only a recipe in a file has a base, which is relative to it", field: Self.key)
        }
        let this = URL(fileURLWithPath: file).standardizedFileURL
        let base = Self.url(of: name, in: this.deletingLastPathComponent())
        let chain = builders + [this]
        if let first = chain.firstIndex(of: base) {
            let names = (chain[first...] + [base]).map(\.lastPathComponent).joined(separator: " -> ")
            throw RecipeError("leads back to itself: \(names)", file: file, field: Self.key)
        }
        guard FileManager.default.fileExists(atPath: base.path) else {
            throw RecipeError("no such file: \(base.path)", file: file, field: Self.key)
        }
        let lower = try RecipeBase(Recipe.text(of: base), file: base.path, builders: chain).node
        guard lower.mapping != nil else {
            throw RecipeError("\(base.path) is no mapping of settings", file: file, field: Self.key)
        }
        let upper = Node.mapping(Node.Mapping(mapping.filter { $0.key.string != Self.key }.map { ($0.key, $0.value) }))
        let folder = (name as NSString).deletingLastPathComponent
        node = Self.merge(folder.isEmpty ? lower : Self.rebase(lower, folder: folder, under: upper), upper)
        self.name = name
    }

    private static func url(of path: String, in folder: URL) -> URL {
        (path.hasPrefix("/") ? URL(fileURLWithPath: path) : folder.appendingPathComponent(path)).standardizedFileURL
    }

    /// A recipe's file under layers of changes, each in the form of a recipe with a base.
    ///
    /// - Parameters:
    ///   - file: The recipe, which paths in the layers are relative to as well.
    ///   - layers: Mappings, the uppermost last.
    /// - Throws: ``RecipeError`` that names the field and what is wrong.
    static func recipe(at file: URL, under layers: [Node]) throws(RecipeError) -> Recipe {
        var node = try RecipeBase(Recipe.text(of: file), file: file.path).node
        for layer in layers {
            guard layer.mapping != nil else {
                throw RecipeError("expected a mapping of settings", file: file.path, field: "overrides")
            }
            node = merge(node, layer)
        }
        do {
            return try YAMLDecoder().decode(Recipe.self, from: node)
        } catch {
            throw RecipeError(decoding: error, file: file.path)
        }
    }

    // MARK: Merging

    private static func merge(_ lower: Node, _ upper: Node) -> Node {
        guard let below = lower.mapping, let above = upper.mapping, !isReplacing(above) else { return unmarked(upper) }
        var pairs = below.map { ($0.key, $0.value) }
        for (key, value) in above {
            if let index = pairs.firstIndex(where: { $0.0.string == key.string }) {
                pairs[index].1 = merge(pairs[index].1, value)
            } else {
                pairs.append((key, unmarked(value)))
            }
        }
        return .mapping(Node.Mapping(pairs))
    }

    private static func isReplacing(_ mapping: Node.Mapping) -> Bool { mapping.tag.description == replacingTag }

    /// Without the marks that only merging reads.
    private static func unmarked(_ node: Node) -> Node {
        switch node {
        case .mapping(let mapping):
            let tag = isReplacing(mapping) ? Tag.implicit : mapping.tag
            let pairs = mapping.map { ($0.key, unmarked($0.value)) }
            return .mapping(Node.Mapping(pairs, tag, mapping.style, mapping.mark))
        case .sequence(let sequence):
            return .sequence(Node.Sequence(sequence.map(unmarked), sequence.tag, sequence.style, sequence.mark))
        case .scalar, .alias: return node
        }
    }

    // MARK: Paths

    /// Where a recipe names paths that are relative to its folder; those of data sets are relative to `data.root`.
    private static let paths = [
        ["data", "root"], ["tokenizer", "file"], ["weights", "vision"], ["weights", "language"],
    ]

    /// The base with its paths as seen from the folder of the recipe that builds on it.
    private static func rebase(_ lower: Node, folder: String, under upper: Node) -> Node {
        var node = lower
        // Without a root, data sets are relative to the recipe's folder, unless the upper recipe brings its own.
        if let data = node["data"]?.mapping, isAbsent(data["root"]), data["sets"] != nil,
            upper["data"]?["sets"] == nil
        {
            let pairs = data.filter { $0.key.string != "root" }.map { ($0.key, $0.value) }
            node = replace(node, at: ["data"]) { _ in .mapping(Node.Mapping([(Node("root"), Node("."))] + pairs)) }
        }
        for path in paths {
            node = replace(node, at: path[...]) { value in
                guard !isAbsent(value), value.scalar != nil, let text = value.string, !text.hasPrefix("/") else {
                    return value
                }
                return Node((folder as NSString).appendingPathComponent(text))
            }
        }
        return node
    }

    private static func isAbsent(_ node: Node?) -> Bool { node == nil || node?.null != nil }

    /// The node with another value at a path, where there is one.
    private static func replace(_ node: Node, at path: ArraySlice<String>, _ change: (Node) -> Node) -> Node {
        guard let key = path.first else { return change(node) }
        guard let mapping = node.mapping else { return node }
        let pairs = mapping.map { pair in
            (pair.key, pair.key.string == key ? replace(pair.value, at: path.dropFirst(), change) : pair.value)
        }
        return .mapping(Node.Mapping(pairs))
    }
}
