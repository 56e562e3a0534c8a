/// A way of asking, with places for what a sample brings (Uni-Med, appendix C).
///
/// Places are `{question}`, `{name}`, `{box}`, `{subject}` and `{choices}`. `{Question}` and `{Name}` begin a sentence
/// and have a capital letter; in the middle of a sentence their first letter becomes small, unless the word is an
/// abbreviation.
public struct InstructionTemplate: Sendable, Equatable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// What a sample puts into a template.
    public enum Place: String, Sendable, CaseIterable {
        /// The question, in the middle of a sentence.
        case question
        /// The question, at the beginning of a sentence.
        case sentenceQuestion = "Question"
        /// The object's name, in the middle of a sentence.
        case name
        /// The object's name, at the beginning of a sentence.
        case sentenceName = "Name"
        /// The object's box.
        case box
        /// What the picture is, for example `CT image`.
        case subject
        /// The classes, as `a, b, or c`.
        case choices
    }

    enum Part: Sendable, Equatable {
        case text(String)
        case place(Place)
    }

    /// The template with its places in braces.
    public let description: String
    let parts: [Part]

    /// Makes a template.
    ///
    /// - Precondition: Every pair of braces names a place.
    public init(stringLiteral value: String) {
        description = value
        var parts: [Part] = []
        var rest = Substring(value)
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            guard let place = Place(rawValue: String(rest[rest.index(after: open)..<close])) else {
                preconditionFailure("a template names only known places: \(value)")
            }
            if open > rest.startIndex { parts.append(.text(String(rest[..<open]))) }
            parts.append(.place(place))
            rest = rest[rest.index(after: close)...]
        }
        if !rest.isEmpty { parts.append(.text(String(rest))) }
        self.parts = parts
    }

    /// The instruction with every place filled.
    ///
    /// What is filled in is taken as it is: braces in a question are not places.
    func filled(_ value: (Place) throws(TaskError) -> String) throws(TaskError) -> String {
        var result = ""
        for part in parts {
            switch part {
            case .text(let text): result += text
            case .place(let place): result += try value(place)
            }
        }
        return result
    }
}

/// The templates of a task: a pool per data set, and one for all others.
public struct TemplatePools: Sendable, Equatable {
    /// The pool of data sets without one of their own.
    public let standard: [InstructionTemplate]
    /// The pools by data set name, in lower case.
    public let byDataset: [String: [InstructionTemplate]]

    /// Makes the pools of a task.
    ///
    /// - Precondition: No pool is empty.
    public init(standard: [InstructionTemplate], byDataset: [String: [InstructionTemplate]] = [:]) {
        precondition(!standard.isEmpty && byDataset.values.allSatisfy { !$0.isEmpty }, "a pool has templates")
        self.standard = standard
        self.byDataset = byDataset
    }

    /// The templates of a data set.
    public func pool(of dataset: String) -> [InstructionTemplate] {
        byDataset[dataset.lowercased()] ?? standard
    }
}

extension String {
    /// With a small first letter for the middle of a sentence, unless the first word is an abbreviation, has a digit, or is
    /// a single letter other than the article.
    var inSentence: String {
        guard let first else { return self }
        let rest = prefix { !$0.isWhitespace }.dropFirst()
        let isPlainWord = rest.allSatisfy { !$0.isUppercase && !$0.isNumber }
        let isPronoun = first == "I" && (rest.first == "'" || rest.first == "’")
        guard isPlainWord, !isPronoun, !rest.isEmpty || first == "A" else { return self }
        return first.lowercased() + dropFirst()
    }

    /// With a capital first letter for the beginning of a sentence.
    var atSentenceStart: String {
        guard let first else { return self }
        return first.uppercased() + dropFirst()
    }
}
