public import Foundation
import Yams

/// Why a recipe cannot be used: which file, which field, and what is wrong with it.
public struct RecipeError: Error, Sendable, Equatable, CustomStringConvertible, LocalizedError {
    /// The path of the recipe.
    public let file: String?
    /// The field, for example `training.learningRate.peak`.
    public let field: String?
    /// The line in the file, counted from 1, where it is known.
    public let line: Int?
    /// What is wrong.
    public let problem: String

    /// Makes an error.
    public init(_ problem: String, file: String? = nil, field: String? = nil, line: Int? = nil) {
        self.problem = problem
        self.file = file
        self.field = field
        self.line = line
    }

    /// Turns what a decoder threw into the field and what is wrong with it.
    init(decoding error: any Error, file: String?) {
        switch error {
        case let error as RecipeError:
            self = error
        case let error as DecodingError:
            self.init(decoding: error, file: file)
        case let error as YamlError:
            self.init(yaml: error, file: file)
        default:
            self.init("cannot be read: \(error)", file: file)
        }
    }

    private init(decoding error: DecodingError, file: String?) {
        switch error {
        case .keyNotFound(let key, let context):
            self.init("missing", file: file, field: RecipeError.path(context.codingPath + [key]))
        case .valueNotFound(_, let context):
            self.init("has no value", file: file, field: RecipeError.path(context.codingPath))
        case .typeMismatch(let type, let context):
            let problem = "expected \(RecipeError.name(of: type)), found something else"
            self.init(problem, file: file, field: RecipeError.path(context.codingPath))
        case .dataCorrupted(let context):
            if let yaml = context.underlyingError as? YamlError {
                self.init(yaml: yaml, file: file)
            } else {
                self.init(context.debugDescription, file: file, field: RecipeError.path(context.codingPath))
            }
        @unknown default:
            self.init("cannot be read: \(error)", file: file)
        }
    }

    private init(yaml error: YamlError, file: String?) {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            self.init("not YAML: \(problem)", file: file, line: mark.line)
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.map { "\($0)" }.sorted().joined(separator: ", ")
            self.init("\(keys): there twice", file: file, line: context.mark.line)
        default:
            let text = "\(error)".split(separator: "\n").first.map(String.init) ?? "\(error)"
            self.init("not YAML: \(text)", file: file)
        }
    }

    private static func path(_ codingPath: [any CodingKey]) -> String? {
        var text = ""
        for key in codingPath {
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += text.isEmpty ? key.stringValue : "." + key.stringValue
            }
        }
        return text.isEmpty ? nil : text
    }

    private static func name(of type: Any.Type) -> String {
        switch type {
        case is String.Type: "text"
        case is Int.Type, is UInt64.Type: "an integer"
        case is Double.Type, is Float.Type: "a number"
        case is Bool.Type: "true or false"
        case is [Any].Type: "a list"
        default: "a mapping"
        }
    }

    /// The file, the line, the field and what is wrong, on one line.
    public var description: String {
        var place: [String] = []
        if let file { place.append(file) }
        if let line { place.append("line \(line)") }
        if let field { place.append("field '\(field)'") }
        return place.isEmpty ? problem : place.joined(separator: ", ") + ": " + problem
    }

    /// The kind of failure without any dynamic text, safe as a metric label.
    public var shortDescription: String { "recipe" }

    /// The same as ``description``.
    public var errorDescription: String? { description }
}
