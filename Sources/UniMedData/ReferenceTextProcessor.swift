/// The text processor of the published code, which every question, answer and report passes there.
///
/// Runs of two or more whitespace characters become one space (single tabs and newlines stay), trailing newlines and
/// then spaces at both ends go, and only the first 50 words are kept, words being what single spaces separate. So
/// reference reports are cut at 50 words.
public struct ReferenceTextProcessor: Sendable, Equatable {
    /// The greatest number of words that are kept.
    public var maximumWordCount: Int

    /// Makes a processor.
    public init(maximumWordCount: Int = 50) {
        self.maximumWordCount = maximumWordCount
    }

    /// The processed text.
    public func callAsFunction(_ text: String) -> String {
        var scalars: [Unicode.Scalar] = []
        var run: [Unicode.Scalar] = []
        for scalar in text.unicodeScalars {
            if ReferenceTextProcessor.isWhitespace(scalar) {
                run.append(scalar)
                continue
            }
            scalars += run.count > 1 ? [" "] : run
            run.removeAll(keepingCapacity: true)
            scalars.append(scalar)
        }
        scalars += run.count > 1 ? [" "] : run
        while scalars.last == "\n" { scalars.removeLast() }
        let kept = scalars.drop { $0 == " " }
        let end = kept.lastIndex { $0 != " " }.map { $0 + 1 } ?? kept.startIndex
        let words = kept[kept.startIndex..<end].split(separator: " ", omittingEmptySubsequences: false)
        var result = String.UnicodeScalarView()
        for (index, word) in words.prefix(maximumWordCount).enumerated() {
            if index > 0 { result.append(" ") }
            result.append(contentsOf: word)
        }
        return String(result)
    }

    /// What Python's regular expressions call whitespace: Unicode's white space and the four separators U+001C-U+001F.
    private static func isWhitespace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }
}
