import UniMedMetrics

/// How a report is split into the words that RadGraph annotates.
public enum RadGraphWords: String, Sendable, CaseIterable, Codable {
    /// RadGraph 1.0: the marks `/ , : . ! ? ( )` stand alone.
    case radGraph = "radgraph"
    /// RadGraph-XL: letters and digits are separated from marks.
    case radGraphXL = "radgraph-xl"

    private static let marks = Set("/,:.!?()".unicodeScalars)

    /// The words of a report.
    public func words(of report: String) -> [String] {
        switch self {
        case .radGraph:
            var spaced = String.UnicodeScalarView()
            for scalar in report.unicodeScalars {
                if RadGraphWords.marks.contains(scalar) {
                    spaced.append(contentsOf: [" ", scalar, " "])
                } else {
                    spaced.append(scalar)
                }
            }
            return String(spaced).referenceWords
        case .radGraphXL:
            // Reports out of JSON files can still have its escapes.
            var text = report
            for (old, new) in [
                (#"\n"#, " "), (#"\f"#, " "), (#"\u2122"#, " "), (#"\""#, "``"),
            ] { text = text.replacing(old, by: new) }
            var joined = RadGraphWords.runs(of: text).joined(separator: " ")
            for (old, new) in [(").", ") ."), ("%.", "% ."), (".'", ". '"), ("%,", "% ,"), ("%)", "% )")] {
                joined = joined.replacing(old, by: new)
            }
            return joined.referenceWords
        }
    }

    /// Runs of letters, digits and underscores, and runs of other characters, without white space.
    private static func runs(of text: String) -> [String] {
        var runs: [String] = []
        var current = String.UnicodeScalarView()
        var isWord = false
        func isWordScalar(_ scalar: Unicode.Scalar) -> Bool {
            if scalar == "_" || scalar.properties.numericType != nil { return true }
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return true
            default: return false
            }
        }
        for scalar in text.unicodeScalars {
            let isSpace = scalar.isReferenceWhitespace
            let belongs = isWordScalar(scalar)
            if !current.isEmpty, isSpace || belongs != isWord {
                runs.append(String(current))
                current = String.UnicodeScalarView()
            }
            if isSpace { continue }
            current.append(scalar)
            isWord = belongs
        }
        if !current.isEmpty { runs.append(String(current)) }
        return runs
    }
}

extension String {
    /// The string with every occurrence of a part replaced, found from the left, by code points.
    fileprivate func replacing(_ part: String, by replacement: String) -> String {
        let (haystack, needle) = (Array(utf8), Array(part.utf8))
        guard !needle.isEmpty, haystack.count >= needle.count else { return self }
        var result: [UInt8] = []
        result.reserveCapacity(haystack.count)
        var index = 0
        while index < haystack.count {
            if haystack[index...].starts(with: needle) {
                result += Array(replacement.utf8)
                index += needle.count
            } else {
                result.append(haystack[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
