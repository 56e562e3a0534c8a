import Yams

extension Recipe {
    /// Every setting as text by its path, for example `training.learningRate.peak`: for telling recipes apart.
    ///
    /// - Throws: ``RecipeError`` when a number cannot be written.
    public func fields() throws(RecipeError) -> [String: String] {
        let yaml = try yaml()
        let node: Node?
        do {
            node = try compose(yaml: yaml, RecipeBase.resolver)
        } catch {
            throw RecipeError(decoding: error, file: nil)
        }
        var fields: [String: String] = [:]
        if let node { Recipe.flatten(node, path: "", into: &fields) }
        return fields
    }

    private static func flatten(_ node: Node, path: String, into fields: inout [String: String]) {
        switch node {
        case .mapping(let mapping):
            for (key, value) in mapping {
                let name = key.string ?? ""
                flatten(value, path: path.isEmpty ? name : path + "." + name, into: &fields)
            }
        case .sequence(let sequence):
            for (index, value) in sequence.enumerated() { flatten(value, path: "\(path)[\(index)]", into: &fields) }
        case .scalar(let scalar): fields[path] = scalar.string
        case .alias: break
        }
    }
}
