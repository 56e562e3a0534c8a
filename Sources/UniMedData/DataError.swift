public import Foundation

/// What went wrong with a file of samples, pictures or settings: what, where, expected, found.
public struct DataError: Error, Sendable, Equatable {
    /// The kind of failure.
    public enum Kind: String, Sendable, Equatable {
        /// The operating system refused to read, write or rename; ``DataError/errorNumber`` says why.
        case fileSystem
        /// A file or folder that must be there is not.
        case missing
        /// A text that cannot be read as what it should be.
        case malformed
        /// A value that can be read and is not allowed.
        case invalid
        /// Bytes that are not those that were written: a wrong digest or size.
        case corrupt
        /// Two things that must belong together and do not.
        case mismatch
        /// The caller asked to stop; nothing is wrong.
        case cancelled
    }

    /// The kind of failure.
    public let kind: Kind
    /// What failed, in words.
    public let problem: String
    /// The path of the file at fault.
    public let file: String?
    /// The line at fault, counted from 1.
    public let line: Int?
    /// The field at fault, for example `box.xMin`.
    public let field: String?
    /// The operating system's error number, for ``Kind/fileSystem``.
    public let errorNumber: Int32?

    /// Makes an error.
    public init(
        _ kind: Kind,
        _ problem: String,
        file: String? = nil,
        line: Int? = nil,
        field: String? = nil,
        errorNumber: Int32? = nil
    ) {
        self.kind = kind
        self.problem = problem
        self.file = file
        self.line = line
        self.field = field
        self.errorNumber = errorNumber
    }

    /// Makes the error of a refused system call.
    ///
    /// - Parameters:
    ///   - action: What was tried, for example `cannot write`.
    ///   - path: The file.
    ///   - errorNumber: The value of `errno` right after the call.
    /// - Returns: An error of kind ``Kind/fileSystem`` with the system's reason.
    public static func fileSystem(_ action: String, path: String, errorNumber: Int32) -> DataError {
        let reason = String(cString: strerror(errorNumber))
        return DataError(.fileSystem, "\(action): \(reason)", file: path, errorNumber: errorNumber)
    }

    /// Makes the error of a record that does not decode, naming the field at fault.
    ///
    /// - Parameters:
    ///   - error: What a `JSONDecoder` threw.
    ///   - file: The file that was decoded.
    ///   - line: The line, counted from 1, of a file with one record a line.
    /// - Returns: An error of kind ``Kind/malformed``.
    public static func decoding(_ error: any Error, file: String?, line: Int? = nil) -> DataError {
        if let error = error as? DataError { return error }
        guard let error = error as? DecodingError else {
            // The decoder's own error for bytes that are no text tells their places, which differ from record to record.
            let isNotText = "\(error)".hasPrefix("cannotConvertInputStringDataToUTF8")
            return DataError(
                .malformed,
                isNotText ? "not UTF-8 text" : "cannot be read: \(error)",
                file: file,
                line: line
            )
        }
        switch error {
        case .keyNotFound(let key, let context):
            return DataError(.malformed, "missing", file: file, line: line, field: path(context.codingPath + [key]))
        case .valueNotFound(let type, let context):
            let problem = "expected \(name(of: type)), found null"
            return DataError(.malformed, problem, file: file, line: line, field: path(context.codingPath))
        case .typeMismatch(let type, let context):
            let problem = "expected \(name(of: type)), found another type"
            return DataError(.malformed, problem, file: file, line: line, field: path(context.codingPath))
        case .dataCorrupted(let context):
            let field = path(context.codingPath)
            let problem = field == nil ? "not valid JSON" : context.debugDescription
            return DataError(.malformed, problem, file: file, line: line, field: field)
        @unknown default:
            return DataError(.malformed, "cannot be read: \(error)", file: file, line: line)
        }
    }

    private static func path(_ codingPath: [any CodingKey]) -> String? {
        var text = ""
        for key in codingPath {
            // An object's key may look like a number; only a list's position is called "Index 3".
            if let index = key.intValue, key.stringValue == "Index \(index)" {
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
        case is [String: Any].Type: "an object"
        case is [Any].Type: "a list"
        default: "\(type)"
        }
    }
}

extension DataError: CustomStringConvertible, LocalizedError {
    /// One line: the file, the line, the field, and what is wrong with it.
    public var description: String {
        var place: [String] = []
        if let file { place.append(file) }
        if let line { place.append("line \(line)") }
        if let field { place.append("field '\(field)'") }
        return place.isEmpty ? problem : place.joined(separator: ", ") + ": " + problem
    }

    /// The kind of failure alone, without any text from files: safe as a metric's label.
    public var shortDescription: String { kind.rawValue }

    /// The same as ``description``.
    public var errorDescription: String? { description }
}
