/// METEOR 1.5's own English tokeniser, which its option `-norm` runs.
///
/// Symbols are set apart, except commas between digits; dashes between letters or digits become spaces; contractions are
/// cut at the apostrophe; a period leaves a word's end unless the word is a known abbreviation or a lower-case word
/// follows; words with inner periods lose all of them.
public enum METEORNormalizer {
    private typealias Scalars = [Unicode.Scalar]

    /// The text with its tokens set apart by single spaces, in lower case.
    public static func normalize(_ text: String) -> String {
        tokens(text).joined(separator: " ")
    }

    /// The tokens of a text, in lower case.
    public static func tokens(_ text: String) -> [String] {
        if let words = plainWords(text) { return words }
        var scalars: Scalars = [" "]
        var hasComma = false
        var hasDash = false
        var hasQuote = false
        for scalar in text.unicodeScalars {
            if isAlphanumeric(scalar) || isKept(scalar) {
                scalars.append(scalar)
            } else {
                scalars.append(" ")
                scalars.append(scalar)
                scalars.append(" ")
            }
            switch scalar {
            case ",": hasComma = true
            case "-", "\u{2013}": hasDash = true
            case "'", "`", "\u{2018}", "\u{2019}", "\u{201C}", "\u{201D}": hasQuote = true
            default: break
            }
        }
        scalars.append(" ")
        scalars = settingEllipsesApart(scalars)
        if hasComma {
            scalars = spacing(scalars, ",", after: { !isDigit($0) }, before: { !isDigit($0) }, left: true, right: true)
            scalars = spacing(scalars, ",", after: isDigit, before: { !isDigit($0) }, left: true, right: true)
            scalars = spacing(scalars, ",", after: { !isDigit($0) }, before: isDigit, left: true, right: true)
        }
        if hasQuote { scalars = plainQuotes(scalars) }
        if hasDash { scalars = withoutDashes(scalars) }
        if hasQuote { scalars = splittingContractions(scalars) }
        return periods(scalars)
    }

    /// The words of a text of nothing but lower-case letters, digits and single spaces, which is most of what is scored.
    private static func plainWords(_ text: String) -> [String]? {
        var text = text
        return text.withUTF8 { bytes in
            let isPlain = bytes.allSatisfy {
                switch $0 {
                case 0x61...0x7A, 0x30...0x39, 0x20: true
                default: false
                }
            }
            return isPlain ? String.words(bytes) : nil
        }
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x41...0x5A, 0x61...0x7A, 0xC0...0xD6, 0xD8...0xF6, 0xF8...0x17E, 0x400...0x527, 0xA640...0xA66E,
            0xA67E...0xA697, 0x1D00...0x1D7F:
            true
        default: false
        }
    }

    private static func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool { isDigit(scalar) || isLetter(scalar) }

    /// White space, and the marks that later steps look at.
    private static func isKept(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " ", "\t", "\n", "\u{B}", "\u{C}", "\r", ".", "'", "`", ",", "-", "\u{2018}", "\u{2019}": true
        default: false
        }
    }

    /// Stands for a period of an ellipsis until the other periods have been looked at; no character of any text.
    private static let ellipsisPoint: Unicode.Scalar = "\u{10FFFF}"

    private static func settingEllipsesApart(_ scalars: Scalars) -> Scalars {
        var result = Scalars()
        result.reserveCapacity(scalars.count + 8)
        var index = 0
        while index < scalars.count {
            var end = index
            while end < scalars.count, scalars[end] == "." { end += 1 }
            if end - index >= 2 {
                result.append(" ")
                result.append(contentsOf: repeatElement(ellipsisPoint, count: end - index))
                result.append(" ")
                index = end
            } else {
                result.append(scalars[index])
                index += 1
            }
        }
        return result
    }

    /// Sets a mark apart where its neighbours are of two classes.
    ///
    /// As with a regular expression that takes in both neighbours, the right one of a pair cannot be the left one of the
    /// next.
    private static func spacing(
        _ scalars: Scalars,
        _ mark: Unicode.Scalar,
        after: (Unicode.Scalar) -> Bool,
        before: (Unicode.Scalar) -> Bool,
        left: Bool,
        right: Bool,
        keepsMark: Bool = true
    ) -> Scalars {
        guard scalars.contains(mark) else { return scalars }
        var result = Scalars()
        result.reserveCapacity(scalars.count + 8)
        var index = 0
        while index < scalars.count {
            if index + 2 < scalars.count, scalars[index + 1] == mark, after(scalars[index]), before(scalars[index + 2])
            {
                result.append(scalars[index])
                if left { result.append(" ") }
                if keepsMark { result.append(mark) }
                if right { result.append(" ") }
                result.append(scalars[index + 2])
                index += 3
            } else {
                result.append(scalars[index])
                index += 1
            }
        }
        return result
    }

    private static func plainQuotes(_ scalars: Scalars) -> Scalars {
        let single: Scalars = scalars.map { $0 == "`" || $0 == "\u{2018}" || $0 == "\u{2019}" ? "'" : $0 }
        var result = Scalars()
        result.reserveCapacity(single.count + 4)
        var index = 0
        while index < single.count {
            if single[index] == "\u{201C}" || single[index] == "\u{201D}" {
                result += [" ", "\"", " "]
                index += 1
            } else if single[index] == "'", index + 1 < single.count, single[index + 1] == "'" {
                result += [" ", "\"", " "]
                index += 2
            } else {
                result.append(single[index])
                index += 1
            }
        }
        return result
    }

    private static func withoutDashes(_ scalars: Scalars) -> Scalars {
        var single = Scalars()
        single.reserveCapacity(scalars.count)
        var index = 0
        while index < scalars.count {
            let scalar: Unicode.Scalar = scalars[index] == "\u{2013}" ? "-" : scalars[index]
            single.append(scalar)
            let next = index + 1
            let isPair = scalar == "-" && next < scalars.count && (scalars[next] == "-" || scalars[next] == "\u{2013}")
            index += isPair ? 2 : 1
        }
        return spacing(
            single,
            "-",
            after: { isAlphanumeric($0) || $0 == "." },
            before: isAlphanumeric,
            left: true,
            right: false,
            keepsMark: false
        )
    }

    private static func splittingContractions(_ scalars: Scalars) -> Scalars {
        let isOther = { (scalar: Unicode.Scalar) in !isLetter(scalar) }
        var result = spacing(scalars, "'", after: isOther, before: isOther, left: true, right: true)
        result = spacing(
            result,
            "'",
            after: { !isLetter($0) && !isDigit($0) },
            before: isLetter,
            left: true,
            right: true
        )
        result = spacing(result, "'", after: isLetter, before: isOther, left: true, right: true)
        result = spacing(result, "'", after: isLetter, before: isLetter, left: true, right: false)
        return spacing(result, "'", after: isDigit, before: { $0 == "s" }, left: true, right: false)
    }

    private static func periods(_ scalars: Scalars) -> [String] {
        let words = scalars.split {
            switch $0 {
            case " ", "\t", "\n", "\r", "\u{C}": true
            default: false
            }
        }
        var result: [String] = []
        for (index, word) in words.enumerated() {
            guard word.count > 1, word.last == "." else {
                append(word, to: &result)
                continue
            }
            let stem = word.dropLast()
            let next = index + 1 < words.count ? words[index + 1].first : nil
            let isBeforeLowercase = next.map { ("a"..."z").contains($0) } ?? false
            let isBeforeNumber = next.map(isDigit) ?? false
            let name = String(codePoints: stem)
            if stem.contains("."), stem.contains(where: isLetter) {
                append(word.filter { $0 != "." }[...], to: &result)
            } else if METEORLists.prefixes.contains(name) || isBeforeLowercase
                || (METEORLists.prefixesBeforeNumbers.contains(name) && isBeforeNumber)
            {
                append(word, to: &result)
            } else {
                append(stem, to: &result)
                result.append(".")
            }
        }
        return result
    }

    /// Adds a word, which spaces of other scripts cut in parts.
    private static func append(_ word: ArraySlice<Unicode.Scalar>, to result: inout [String]) {
        if word.allSatisfy(\.isASCII) {
            result.append(String(codePoints: word).lowercased())
            return
        }
        for part in word.split(whereSeparator: isWideSpace) {
            result.append(String(codePoints: part.lazy.map { $0 == ellipsisPoint ? "." : $0 }).referenceLowercased)
        }
    }

    private static func isWideSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x2000...0x200A, 0x202F, 0x205F, 0x3000, 0xA0: true
        default: false
        }
    }
}

/// The word lists that METEOR 1.5 uses for English.
enum METEORLists {
    /// Words that weigh less than others: those with a relative frequency above one in a thousand.
    static let functionWords: Set<String> = Set(
        """
        the , . to of and a in that for " is on 's it with was as said at he by be from have has are his but an this \
        not i will \u{2019} they ) -rrb- ( -lrb- who their had we which were been more or s its would about new one after you \
        : also up when there than $ all out her people she year two - can if last first \u{201C} over other \u{201D} into some \
        what so -- no time years could ? 't \u{2014} '
        """.split(separator: " ").map(String.init)
    )

    /// Abbreviations that keep their period.
    static let prefixes: Set<String> = Set(
        """
        A B C D E F G H I J K L M N O P Q R S T U V W X Y Z Adj Adm Adv Asst Bart Bldg Brig Bros Capt Cmdr Col Comdr Con \
        Corp Cpl DR Dr Drs Ens Gen Gov Hon Hr Hosp Insp Lt MM MR MRS MS Maj Messrs Mlle Mme Mr Mrs Ms Msgr Op Ord Pfc \
        Ph Prof Pvt Rep Reps Res Rev Rt Sen Sens Sfc Sgt Sr St Supt Surg v vs i.e rev e.g Nos Nr
        """.split(separator: " ").map(String.init)
    )

    /// Abbreviations that keep their period before a number.
    static let prefixesBeforeNumbers: Set<String> = ["No", "Art", "pp"]
}
