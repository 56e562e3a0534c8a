/// The rules of the tokeniser at one place of the text.
///
/// Among all rules the one that reads farthest wins, what it only looks at counted in; of equals the first does.
struct PTBRules {
    private let text: [UInt16]
    private let start: Int
    private var reach = 0
    private var tokenEnd = 0
    private var form = PTBForm.verbatim

    init(text: [UInt16], start: Int) {
        self.text = text
        self.start = start
        reach = start
    }

    /// The length and form of the token that starts here; without any rule one code unit is passed over.
    mutating func longest() -> (token: Int, form: PTBForm) {
        assimilations()
        markupAndEntities()
        words()
        addresses()
        numbers()
        mixtures()
        abbreviations()
        quotesAndSmileys()
        punctuation()
        compounds()
        closing()
        guard reach > start else { return (1, .skipped) }
        return (tokenEnd - start, form)
    }

    private mutating func offer(_ end: Int?, token: Int? = nil, _ form: PTBForm = .verbatim) {
        guard let end, end > reach else { return }
        reach = end
        tokenEnd = token ?? end
        self.form = form
    }

    // MARK: Reading

    /// Stands for what follows the last code unit; no character of a text.
    private static let none: UInt16 = 0xFFFF

    private func unit(_ index: Int) -> UInt16 { index < text.count ? text[index] : PTBRules.none }

    /// The end of a word in either case, if it stands there.
    private func literal(_ word: StaticString, _ index: Int) -> Int? {
        guard index + word.utf8CodeUnitCount <= text.count else { return nil }
        return word.withUTF8Buffer { bytes in
            for (offset, byte) in bytes.enumerated() {
                let expected = UInt16(byte)
                let found = text[index + offset]
                guard found == expected || PTBCharacters.lowercase(found) == PTBCharacters.lowercase(expected) else {
                    return nil
                }
            }
            return index + bytes.count
        }
    }

    private func any(_ words: [StaticString], _ index: Int) -> Int? {
        words.compactMap { literal($0, index) }.max()
    }

    /// The end of the longest run of a class; `index` itself when there is none.
    private func run(_ index: Int, _ isMember: (UInt16) -> Bool) -> Int {
        var end = index
        while end < text.count, isMember(text[end]) { end += 1 }
        return end
    }

    private func digits(_ index: Int, _ count: ClosedRange<Int>) -> [Int] {
        let available = run(index, PTBCharacters.isLatinDigit) - index
        guard available >= count.lowerBound else { return [] }
        return (count.lowerBound...min(available, count.upperBound)).map { index + $0 }
    }

    private func isOne(_ index: Int, of characters: StaticString) -> Bool {
        let found = unit(index)
        guard found < 0x80 else { return false }
        return characters.withUTF8Buffer { $0.contains(UInt8(found)) }
    }

    private func apostrophe(_ index: Int) -> Int? {
        switch unit(index) {
        case 0x27, 0x92, 0x2019: index + 1
        case 0x26: literal("&apos;", index)
        default: nil
        }
    }

    /// An apostrophe, or another quotation mark that may stand for one within a word.
    private func innerApostrophe(_ index: Int) -> Int? {
        switch unit(index) {
        case 0x60, 0x91, 0x2018, 0x201B: index + 1
        default: apostrophe(index)
        }
    }

    /// `'m`, `'s`, `'d`, `'re`, `'ve`, `'ll`.
    private func clitic(_ index: Int) -> Int? {
        guard let after = apostrophe(index) else { return nil }
        return any(["re", "ve", "ll", "m", "s", "d"], after)
    }

    /// `n't`.
    private func negation(_ index: Int) -> Int? {
        guard unit(index) | 0x20 == 0x6E, let after = innerApostrophe(index + 1) else { return nil }
        return literal("t", after)
    }

    private func wordLetter(_ index: Int) -> Int? {
        if index < text.count, PTBCharacters.isWordLetter(text[index]) { return index + 1 }
        guard unit(index) == 0x26, isOne(index + 1, of: "aeiouAEIOU") else { return nil }
        return any(["acute;", "grave;", "uml;"], index + 2)
    }

    /// Letters and digits that begin with a letter; a point, `!` or `?` before a letter goes on.
    private func word(_ index: Int) -> Int? {
        guard var end = wordLetter(index) else { return nil }
        while true {
            if let next = wordLetter(end) {
                end = next
            } else if PTBCharacters.isDigit(unit(end)) {
                end += 1
            } else if isOne(end, of: ".!?"), let next = wordLetter(end + 1) {
                end = next
            } else {
                return end
            }
        }
    }

    private func markup(_ index: Int) -> Int? {
        guard unit(index) == 0x3C else { return nil }
        let isNameUnit = { (unit: UInt16) in
            PTBCharacters.isLatinAlphanumeric(unit) || unit == 0x5F || unit == 0x3A || unit == 0x2E || unit == 0x2D
        }
        let afterSpaces = { (place: Int) in self.run(place) { $0 == 0x20 } }
        var end = index + 1
        if isOne(end, of: "!?") {
            guard PTBCharacters.isLatinLetter(unit(end + 1)) || unit(end + 1) == 0x2D else { return nil }
            end = run(end + 2) { $0 != 0x3E && $0 != 0x0A && $0 != 0x0D }
        } else if unit(end) == 0x2F {
            guard PTBCharacters.isLatinLetter(unit(end + 1)) else { return nil }
            end = run(end + 2, isNameUnit)
        } else {
            guard PTBCharacters.isLatinLetter(unit(end)) else { return nil }
            end = run(end + 1, isNameUnit)
            while unit(end) == 0x20, PTBCharacters.isLatinLetter(unit(afterSpaces(end))) {
                end = run(afterSpaces(end), isNameUnit)
                var value = afterSpaces(end)
                guard unit(value) == 0x3D else { continue }
                value = afterSpaces(value + 1)
                let quote = unit(value)
                guard quote == 0x22 || quote == 0x27 else { return nil }
                end = run(value + 1) { $0 != quote }
                guard unit(end) == quote else { return nil }
                end += 1
            }
            end = afterSpaces(end)
            if unit(end) == 0x2F { end += 1 }
        }
        end = afterSpaces(end)
        return unit(end) == 0x3E ? end + 1 : nil
    }

    /// Letters with points between them, such as `U.S` or a single letter.
    private func acronyms(_ index: Int) -> [Int] {
        var ends: [Int] = []
        if PTBCharacters.isLatinLetter(unit(index)) {
            var end = index + 1
            ends.append(end)
            while unit(end) == 0x2E, PTBCharacters.isLatinLetter(unit(end + 1)) {
                end += 2
                ends.append(end)
            }
        }
        let names: [StaticString] = [
            "Canada-U.S", "Sino-U.S", "Korean-U.S", "EU-U.S", "Japan-U.S", "non-U.S", "U.S.-U.K", "U.S.-U.S.S.R",
        ]
        ends += names.compactMap { literal($0, index) }
        return ends
    }

    // MARK: Rules, in the order of their precedence

    /// Whether a whole word is one of those that are cut in two.
    static func isAssimilation(_ word: ArraySlice<UInt16>) -> Bool {
        guard word.count == 5 || word.count == 6 else { return false }
        return cutWords.contains {
            $0.count == word.count && zip($0, word).allSatisfy { $0 == PTBCharacters.lowercase($1) }
        }
    }

    private static let cutWords = ["cannot", "gonna", "gotta", "lemme", "gimme", "wanna"].map { Array($0.utf16) }

    private mutating func assimilations() {
        let first = unit(start)
        if first | 0x20 == 0x63 || first | 0x20 == 0x66 {
            offer(literal("c++", start))
            offer(any(["c#", "f#"], start))
        }
        if first | 0x20 == 0x63 { offer(literal("cannot", start), token: start + 3) }
        if first == 0x27 {
            offer(literal("'twas", start), token: start + 2)
            offer(literal("'tis", start), token: start + 2)
        }
        if first | 0x20 == 0x67 || first | 0x20 == 0x6C || first | 0x20 == 0x77 {
            offer(any(["gonna", "gotta", "lemme", "gimme", "wanna"], start), token: start + 3)
        }
    }

    private mutating func markupAndEntities() {
        offer(markup(start), .noBreakSpaces)
        switch unit(start) {
        case 0x96, 0x97, 0x2013, 0x2014, 0x2015: offer(start + 1, .fixed("--"))
        case 0x26:
            offer(any(["&MD;", "&mdash;", "&ndash;"], start), .fixed("--"))
            offer(literal("&amp;", start), .ampersands)
            offer(any(["&HT;", "&TL;", "&UR;", "&LR;", "&QC;", "&QL;", "&QR;", "&odq;", "&cdq;"], start))
            if unit(start + 1) == 0x23 {
                let end = run(start + 2, PTBCharacters.isLatinDigit)
                if end > start + 2, unit(end) == 0x3B { offer(end + 1) }
            }
        default: break
        }
    }

    private mutating func words() {
        if let end = word(start) {
            if let after = clitic(end) { offer(after, token: end, .withoutSoftHyphens) }
            negatedWord()
            offer(end, .withoutSoftHyphens)
        } else {
            negatedWord()
        }
        wordsWithApostrophe()
        if unit(start) | 0x20 == 0x79, let end = apostrophe(start + 1), PTBCharacters.isLetter(unit(end)) {
            offer(end + 1, token: end)
        }
    }

    /// The part of a word before `n't`, which must not itself end in `n`.
    private mutating func negatedWord() {
        let end = run(start) { PTBCharacters.isLatinLetter($0) || $0 == 0xAD }
        guard end - start >= 2, let after = negation(end - 1) else { return }
        guard let last = text[start..<(end - 1)].last(where: { $0 != 0xAD }), last | 0x20 != 0x6E else { return }
        offer(after, token: end - 1, .withoutSoftHyphens)
    }

    private mutating func wordsWithApostrophe() {
        let first = unit(start)
        if let end = apostrophe(start) {
            if let after = literal("n", end) { offer(apostrophe(after) ?? after) }
            offer(any(["em", "till", "til", "cause"], end))
            if isOne(end, of: "23456789"), unit(end + 1) == 0x30 { offer(literal("s", end + 2)) }
            if first == 0x27 { offer(literal("'twas", start)) }
        }
        guard PTBCharacters.isLetter(first) else { return }
        if isOne(start, of: "lLdDjJ") { offer(apostrophe(start + 1)) }
        for stem: StaticString in ["Dunkin", "somethin", "ol"] {
            if let end = literal(stem, start) { offer(apostrophe(end)) }
        }
        if isOne(start, of: "ABCDEFGHJKLMNOPQRSTUVWXZn"), let end = innerApostrophe(start + 1) {
            let stop = run(end, PTBCharacters.isLetter)
            if stop >= end + 2 { offer(stop) }
        }
        let letters = run(start, PTBCharacters.isLetter)
        if letters >= start + 2, isOne(letters - 1, of: "aeiouyAEIOUY"), let end = innerApostrophe(letters),
            isOne(end, of: "aeiou") || PTBCharacters.isCapital(unit(end))
        {
            offer(run(end + 1, PTBCharacters.isLetter))
        }
        guard unit(letters) == 0x27 || innerApostrophe(start + 1) != nil else { return }
        if let end = literal("cont'd", start) { offer(unit(end) == 0x2E ? end + 1 : end) }
        offer(any(["nor'easter", "c'mon", "e'er", "s'mores", "ev'ry", "li'l", "nat'l"], start))
        if first | 0x20 == 0x6F, let end = innerApostrophe(start + 1) { offer(literal("o", end)) }
    }

    private func isURLUnit(_ unit: UInt16, but others: StaticString) -> Bool {
        switch unit {
        case 0x20, 0x09, 0x0A, 0x0C, 0x0D, 0x22, 0x3C, 0x3E, 0x7C: false
        default: unit >= 0x80 || !others.withUTF8Buffer { $0.contains(UInt8(unit)) }
        }
    }

    private mutating func addresses() {
        if let scheme = any(["https://", "http://"], start) {
            var end = run(scheme) { isURLUnit($0, but: "(){}") }
            while end > scheme, isOne(end - 1, of: ".!?,-") { end -= 1 }
            if end >= scheme + 2 { offer(end) }
        }
        sites()
        emails()
        if unit(start) == 0x40, PTBCharacters.isLatinLetter(unit(start + 1)) || unit(start + 1) == 0x5F {
            offer(run(start + 2) { PTBCharacters.isLatinAlphanumeric($0) || $0 == 0x5F })
        }
        if unit(start) == 0x23, var end = wordLetter(start + 1) {
            while let next = wordLetter(end) { end = next }
            offer(end)
        }
        offer(clitic(start).flatMap(beforeNoLatinLetter), token: clitic(start), .quotes(opening: false))
        offer(negation(start).flatMap(beforeNoLatinLetter), token: negation(start), .quotes(opening: false))
    }

    private func beforeNoLatinLetter(_ end: Int) -> Int? {
        end < text.count && !PTBCharacters.isLatinLetter(text[end]) ? end + 1 : nil
    }

    private mutating func sites() {
        var hosts: [Int] = []
        if var place = literal("www.", start) {
            while true {
                let end = run(place) { isURLUnit($0, but: ".!?(){},") }
                guard end > place, unit(end) == 0x2E else { break }
                place = end + 1
                let letters = run(place, PTBCharacters.isLatinLetter) - place
                if letters >= 2 { hosts += (2...min(4, letters)).map { place + $0 } }
            }
        }
        var place = start
        while true {
            // The published class has a range from the comma to the underscore, which shuts digits and capitals out.
            let end = run(place) { isURLUnit($0, but: "`'!(){}$") && !(0x2C...0x5F).contains($0) }
            guard end > place, unit(end) == 0x2E else { break }
            place = end + 1
            if let stop = any(["com", "net", "org", "edu"], place) { hosts.append(stop) }
        }
        for host in hosts {
            var best = host
            if unit(host) == 0x2F {
                var end = run(host + 1) { isURLUnit($0, but: "()") }
                while end > host + 1, isOne(end - 1, of: ".!?{},-") { end -= 1 }
                if end >= host + 3 { best = end }
            }
            offer(best)
        }
    }

    private mutating func emails() {
        var place = start
        if unit(start) == 0x3C { place += 1 } else if let end = literal("&lt;", start) { place = end }
        for first in Set([start, place]) {
            guard PTBCharacters.isLatinAlphanumeric(unit(first)) else { continue }
            let end = run(first + 1) { $0 != 0xA0 && isURLUnit($0, but: "(){}") }
            for at in (first + 1)..<max(end, first + 1) where text[at] == 0x40 {
                let isPart = { (unit: UInt16) in unit != 0xA0 && isURLUnit(unit, but: "(){}.") }
                var stop = run(at + 1, isPart)
                guard stop > at + 1 else { continue }
                while unit(stop) == 0x2E {
                    let next = run(stop + 1, isPart)
                    guard next > stop + 1 else { break }
                    stop = next
                }
                offer(unit(stop) == 0x3E ? stop + 1 : literal("&gt;", stop) ?? stop)
            }
        }
    }

    private func number(_ index: Int) -> Int? {
        var end = run(index, PTBCharacters.isDigit)
        var isNumber = end > index
        while [0x2E, 0x3A, 0x2C, 0xAD, 0x66B, 0x66C].contains(unit(end)) {
            let next = run(end + 1, PTBCharacters.isDigit)
            guard next > end + 1 else { break }
            end = next
            isNumber = true
        }
        return isNumber ? end : nil
    }

    private mutating func numbers() {
        date()
        offer(number(isOne(start, of: "-+") ? start + 1 : start), .withoutSoftHyphens)
        let raised = [0x207A, 0x207B, 0x208A, 0x208B].contains(unit(start)) ? start + 1 : start
        let superscripts = run(raised) {
            $0 == 0x2070 || $0 == 0xB9 || $0 == 0xB2 || $0 == 0xB3 || (0x2074...0x2079) ~= $0
        }
        let subscripts = run(raised) { (0x2080...0x2089) ~= $0 }
        if superscripts > raised { offer(superscripts) }
        if subscripts > raised { offer(subscripts) }
        fraction()
        if [0xBC, 0xBD, 0xBE].contains(unit(start)) || (0x2153...0x215E).contains(unit(start)) {
            offer(start + 1, .fractions)
        }
    }

    private func anyDigits(_ index: Int, _ count: ClosedRange<Int>) -> [Int] {
        let available = run(index, PTBCharacters.isDigit) - index
        guard available >= count.lowerBound else { return [] }
        return (count.lowerBound...min(available, count.upperBound)).map { index + $0 }
    }

    private mutating func date() {
        for day in anyDigits(start, 1...2) where isOne(day, of: "-/") {
            for month in anyDigits(day + 1, 1...2) where isOne(month, of: "-/") {
                offer(anyDigits(month + 1, 2...4).last)
            }
        }
    }

    private mutating func fraction() {
        var places = [start]
        for end in anyDigits(start, 1...4) where unit(end) == 0x20 || unit(end) == 0x2D || unit(end) == 0xA0 {
            places.append(end + 1)
        }
        for place in places {
            for end in anyDigits(place, 1...4) {
                var slash = end
                if unit(slash) == 0x5C { slash += 1 }
                guard unit(slash) == 0x2F || (unit(end) == 0x2044 && slash == end) else { continue }
                offer(anyDigits(slash + 1, 1...4).last, .noBreakSpaces)
            }
        }
    }

    private mutating func mixtures() {
        switch unit(start) | 0x20 {
        case 0x2D:
            offer(any(["-RRB-", "-LRB-", "-RCB-", "-LCB-", "-RSB-", "-LSB-"], start), .ampersands)
        case 0x63, 0x70, 0x61, 0x73:
            offer(any(["C.D.s", "pro-", "anti-", "S&P-500", "S&amp;P-500", "S&Ls", "S&amp;Ls"], start), .ampersands)
            if let end = literal("cap", start).flatMap(apostrophe) { offer(literal("n", end), .ampersands) }
            if let end = literal("c", start).flatMap(apostrophe) { offer(literal("est", end), .ampersands) }
        default: break
        }
        alternatives()
        if unit(start) == 0x23 { offer(start + 1) }
        let dollar = run(start, PTBCharacters.isCapital)
        if unit(dollar) == 0x24 { offer(dollar + 1) }
        switch unit(start) {
        case 0xA2, 0xA3, 0xA4, 0xA5, 0x80, 0x20A0, 0x20AC, 0x60B, 0xE3F, 0x20A4, 0xFFE0, 0xFFE1, 0xFFE5, 0xFFE6:
            offer(start + 1, .currency)
        default: break
        }
    }

    /// Two or three words with slashes between them.
    private mutating func alternatives() {
        func parts(_ index: Int) -> [Int] {
            var end = run(index, PTBCharacters.isLatinAlphanumeric)
            guard end > index else { return [] }
            var ends = [end]
            for _ in 0..<2 where unit(end) == 0x2D {
                let next = run(end + 1, PTBCharacters.isLatinLetter)
                guard next > end + 1 else { break }
                end = next
                ends.append(end)
            }
            return ends
        }
        func afterSlash(_ index: Int) -> Int? {
            if unit(index) == 0x2F { return index + 1 }
            return unit(index) == 0x5C && unit(index + 1) == 0x2F ? index + 2 : nil
        }
        for second in parts(start).compactMap(afterSlash) {
            for end in parts(second) {
                offer(end)
                if let third = afterSlash(end) { offer(parts(third).last) }
            }
        }
    }

    private mutating func abbreviations() {
        let letters = run(start, PTBCharacters.isLatinLetter)
        let acronyms = letters > start ? acronyms(start) : []
        acronymBeforeSentence(acronyms)
        let word = text[start..<letters]
        if unit(letters) == 0x2E {
            let end = letters + 1
            if PTBAbbreviations.beforeNumber.contains(word) {
                let digit = PTBCharacters.isSpaceOrNewline(unit(end)) ? end + 1 : end
                if PTBCharacters.isDigit(unit(digit)) { offer(digit + 1, token: end) }
                if PTBCharacters.isDigit(unit(end)) { offer(end + 1, token: end) }
            }
            if PTBAbbreviations.companies.contains(word), PTBCharacters.isSpace(unit(end)) {
                offer(any(["ltd", "lim"], end + 1), token: end)
            }
            if PTBAbbreviations.beforeLowercase.contains(word) { abbreviationAtSentence(end) }
        }
        if let end = any(["Ed.D.", "Ph.D."], start) { abbreviationAtSentence(end) }
        let isTitle = PTBAbbreviations.beforeCapital.contains(word)
        let titles = (isTitle ? [letters] : []) + acronyms + (literal("a.k.a", start).map { [$0] } ?? [])
        for end in titles where unit(end) == 0x2E { offer(end + 1) }
        for end in titles where PTBCharacters.isSpace(unit(end)) { offer(end + 1, token: end) }
        for end in acronyms where PTBCharacters.isSpaceOrNewline(unit(end)) { offer(end + 1, token: end) }
        if let end = apostrophe(start), PTBCharacters.isLatinDigit(unit(end)),
            PTBCharacters.isLatinDigit(unit(end + 1)),
            PTBCharacters.isSpaceOrNewline(unit(end + 2))
        {
            offer(end + 3, token: end + 2)
        }
        fileName()
        if let end = self.word(start), unit(end) == 0x2E, PTBCharacters.isSentenceMark(unit(end + 1)) {
            offer(end + 2, token: end + 1, .withoutSoftHyphens)
        }
        phone()
    }

    private mutating func abbreviationAtSentence(_ end: Int) {
        if PTBCharacters.isSpaceOrNewline(unit(end)) {
            let next = unit(end + 1)
            if PTBCharacters.isSpaceOrNewline(next) || PTBCharacters.isUppercase(next) {
                offer(end + 2, token: end, .abbreviationAtEnd)
            }
            if let stop = markup(end + 1) { offer(stop, token: end, .abbreviationAtEnd) }
        }
        if end + 2 <= text.count { offer(end + 2, token: end) }
        offer(end, .abbreviationAtEnd)
    }

    /// An acronym ends its sentence when a word follows that often begins one.
    private mutating func acronymBeforeSentence(_ ends: [Int]) {
        for end in ends where unit(end) == 0x2E {
            let next = run(end + 1, PTBCharacters.isSpaceOrNewline)
            guard next > end + 1 else { continue }
            var stops: [Int] = []
            if PTBCharacters.isCapital(unit(next)) {
                let letters = run(next, PTBCharacters.isLatinLetter)
                if PTBAbbreviations.sentenceStarts.contains(text[next..<letters]) { stops.append(letters) }
                stops += ["Mr.", "Ms."].compactMap { literal($0, next) }
            }
            if let stop = markup(next) { stops.append(stop) }
            for stop in stops where PTBCharacters.isSpaceOrNewline(unit(stop)) {
                if end - start == 1 {
                    offer(stop + 1, token: end)
                } else {
                    offer(stop + 1, token: end + 1, .abbreviationAtEnd)
                }
            }
        }
    }

    private mutating func fileName() {
        var end = start
        var isFirst = true
        while true {
            if !isFirst {
                for stop in PTBAbbreviations.fileSuffixes.compactMap({ literal($0, end) })
                where PTBCharacters.isSpaceOrNewline(unit(stop)) || isOne(stop, of: ".?!,") {
                    offer(stop + 1, token: stop)
                }
            }
            let first = end
            while let next = PTBCharacters.isDigit(unit(end)) ? end + 1 : wordLetter(end) { end = next }
            guard end > first, unit(end) == 0x2E else { return }
            end += 1
            isFirst = false
        }
    }

    private func isGap(_ index: Int) -> Bool { unit(index) == 0x20 || unit(index) == 0xA0 }

    private func isGapOrHyphen(_ index: Int) -> Bool { isGap(index) || unit(index) == 0x2D }

    private mutating func phone() {
        guard isOne(start, of: "(+0123456789") else { return }
        var heads: [Int] = []
        if unit(start) == 0x28 {
            for end in digits(start + 1, 2...3) where unit(end) == 0x29 {
                heads.append(end + 1)
                if isGap(end + 1) { heads.append(end + 2) }
            }
        }
        let plus = run(start) { $0 == 0x2B }
        guard plus - start <= 2 else { return }
        for end in digits(plus, 2...4) where isGapOrHyphen(end) {
            heads.append(end + 1)
            for second in digits(end + 1, 2...4) where isGapOrHyphen(second) { heads.append(second + 1) }
        }
        for head in heads {
            for end in digits(head, 3...4) {
                offer(digits(end, 3...5).last, .parentheses)
                if isGapOrHyphen(end) { offer(digits(end + 1, 3...5).last, .parentheses) }
            }
        }
        var dotted = unit(start) == 0x2B ? [] : [start]
        for end in digits(plus, 2...4) where unit(end) == 0x2E { dotted.append(end + 1) }
        for place in dotted {
            for first in digits(place, 2...4) where unit(first) == 0x2E {
                for second in digits(first + 1, 3...4) where unit(second) == 0x2E {
                    offer(digits(second + 1, 3...5).last, .parentheses)
                }
            }
        }
    }

    private mutating func quotesAndSmileys() {
        if let end = unit(start) == 0x22 ? start + 1 : literal("&quot;", start) {
            if PTBCharacters.isLatinAlphanumeric(unit(end)) || unit(end) == 0x24 {
                offer(end + 1, token: end, .quotes(opening: true))
            }
            offer(end, .quotes(opening: false))
        }
        if unit(start) == 0x7F { offer(start + 1, .skipped) }
        if unit(start) == 0x3C { offer(start + 1) }
        offer(literal("&lt;", start), .fixed("<"))
        if unit(start) == 0x3E { offer(start + 1) }
        offer(literal("&gt;", start), .fixed(">"))
        var eyes = [start]
        if isOne(start, of: "<>") { eyes.append(start + 1) }
        for place in eyes where isOne(place, of: ":;=") {
            var mouths = [place + 1]
            if isOne(place + 1, of: "-o*'") { mouths.append(place + 2) }
            for mouth in mouths where isOne(mouth, of: "()DPdpO\\{@|[]") {
                if mouth + 1 < text.count, !PTBCharacters.isLatinAlphanumeric(text[mouth + 1]) {
                    offer(mouth + 2, token: mouth + 1, .parentheses)
                }
            }
        }
        faces()
    }

    private mutating func faces() {
        if isOne(start, of: "-^x=~<>'"), unit(start + 1) == 0x5F, isOne(start + 2, of: "-^x=~<>'") {
            offer(start + 3, .parentheses)
        }
        if isOne(start, of: "^x=~<>"), unit(start + 1) == 0x2E { offer(literal("[^x=~<>]", start + 2), .parentheses) }
        guard unit(start) == 0x28 else { return }
        if isOne(start + 1, of: "-^x=~<>'") {
            var places = [start + 2]
            if isOne(start + 2, of: "_.") { places.append(start + 3) }
            for place in places where isOne(place, of: "-^x=~<>'") && unit(place + 1) == 0x29 {
                offer(place + 2, .parentheses)
            }
        }
        if isOne(start + 1, of: "^x=~<>'"), unit(start + 2) == 0x2D, isOne(start + 3, of: "^x=~<>'`"),
            unit(start + 4) == 0x29
        {
            offer(start + 5, .parentheses)
        }
    }

    private mutating func punctuation() {
        let next = start + 1
        switch unit(start) {
        case 0x7B: offer(next, .fixed("-LCB-"))
        case 0x7D: offer(next, .fixed("-RCB-"))
        case 0x5B: offer(next, .fixed("-LSB-"))
        case 0x5D: offer(next, .fixed("-RSB-"))
        case 0x28: offer(next, .fixed("-LRB-"))
        case 0x29: offer(next, .fixed("-RRB-"))
        case 0x2D:
            let end = run(start) { $0 == 0x2D }
            offer(end, (3...4).contains(end - start) ? .fixed("--") : .verbatim)
        case 0x85, 0x2026: offer(next, .fixed("..."))
        case 0x2E:
            let end = run(start) { $0 == 0x2E }
            if end - start >= 3 { offer(min(end, start + 5), .fixed("...")) }
            var spaced = start
            var pairs = 0
            while unit(spaced) == 0x2E, unit(spaced + 1) == 0x20 || unit(spaced + 1) == 0xA0, pairs < 4 {
                spaced += 2
                pairs += 1
                if pairs >= 2, unit(spaced) == 0x2E { offer(spaced + 1, .fixed("...")) }
            }
            offer(next)
        case 0x40, 0x23, 0x5F:
            let mark = unit(start)
            offer(run(start) { $0 == mark })
        case 0x2A: offer(run(start) { $0 == 0x2A })
        case 0x5C:
            var end = start
            while end < start + 6, unit(end) == 0x5C, unit(end + 1) == 0x2A { end += 2 }
            if end > start { offer(end) }
        case 0x3F, 0x21: offer(run(start) { $0 == 0x3F || $0 == 0x21 })
        case 0x2C, 0x3B, 0x3A, 0x3001, 0xA1, 0xBF, 0x37E, 0x589, 0x61F, 0x6D4, 0x700...0x702, 0x7FA, 0x3002, 0x3D, 0x2F:
            offer(next)
        default: break
        }
    }

    private mutating func compounds() {
        if let end = hyphenated() {
            if unit(end) == 0x2E, PTBCharacters.isSentenceMark(unit(end + 1)) {
                offer(end + 2, token: end + 1, .withoutSoftHyphens)
            }
            offer(end, .withoutSoftHyphens)
        }
        if let end = joined() {
            if unit(end) == 0x2E, PTBCharacters.isSentenceMark(unit(end + 1)) { offer(end + 2, token: end + 1) }
            offer(end)
        }
        var end = run(start, PTBCharacters.isCapital)
        var isCompany = false
        while end > start {
            let next =
                isOne(end, of: "+&") && literal("&amp;", end) == nil ? end + 1 : literal("&amp;", end) ?? text.count
            let stop = run(next, PTBCharacters.isCapital)
            guard stop > next else { break }
            end = stop
            isCompany = true
        }
        guard isCompany else { return }
        if unit(end) == 0x2E, PTBCharacters.isSentenceMark(unit(end + 1)) {
            offer(end + 2, token: end + 1, .ampersands)
        }
        offer(end, .ampersands)
    }

    /// Words and numbers with hyphens between them, the first of which may hold points and commas.
    private func hyphenated() -> Int? {
        guard PTBCharacters.isLatinAlphanumeric(unit(start)) else { return nil }
        var end = run(start + 1) {
            PTBCharacters.isLatinAlphanumeric($0) || $0 == 0x2E || $0 == 0x2C || $0 == 0xAD
        }
        guard unit(end) == 0x2D else { return nil }
        var last: Int?
        while unit(end) == 0x2D {
            let plain = run(end + 1) { PTBCharacters.isLatinAlphanumeric($0) || $0 == 0xAD }
            let points = acronyms(end + 1).filter { $0 > end + 2 && unit($0) == 0x2E }.map { $0 + 1 }
            guard let next = (points + (plain > end + 1 ? [plain] : [])).max() else { break }
            end = next
            last = end
        }
        return last
    }

    /// Letters and digits of any script with hyphens between them.
    private func joined() -> Int? {
        func part(_ index: Int) -> Int? {
            var end = run(index, PTBCharacters.isLetterOrDigit)
            if isOne(index, of: "dDoOlL"), let after = innerApostrophe(index + 1),
                PTBCharacters.isLetterOrDigit(unit(after))
            {
                // One letter or digit belongs to the apostrophe, at least one more must follow.
                let stop = run(after + 1, PTBCharacters.isLetterOrDigit)
                if stop > after + 1 { end = max(end, stop) }
            }
            return end > index ? end : nil
        }
        guard var end = part(start) else { return nil }
        while PTBCharacters.isHyphen(unit(end)), let next = part(end + 1) { end = next }
        return end
    }

    private mutating func closing() {
        if unit(start) == 0x27, PTBCharacters.isLatinLetter(unit(start + 1)), start + 2 < text.count {
            let next = text[start + 2]
            if next != 0x20, next != 0x09, next != 0x0A, next != 0x0D, next != 0xA0 {
                offer(start + 3, token: start + 1, .quotes(opening: true))
            }
        }
        offer(clitic(start), .quotes(opening: false))
        offer(negation(start), .quotes(opening: false))
        offer(apostrophe(start), .quotes(opening: false))
        if unit(start) == 0x27, unit(start + 1) == 0x27 { offer(start + 2, .quotes(opening: false)) }
        let isQuote = { (unit: UInt16) in
            switch unit {
            case 0x60, 0x2018...0x201F, 0x91...0x94, 0x2039, 0x203A, 0xAB, 0xBB: true
            default: false
            }
        }
        if isQuote(unit(start)) { offer(isQuote(unit(start + 1)) ? start + 2 : start + 1, .quotes(opening: false)) }
        offer(literal("<<", start) ?? literal(">>", start))
        if PTBCharacters.isSymbol(unit(start)) { offer(start + 1) }
        let spaces = run(start, PTBCharacters.isSpace)
        if spaces > start { offer(spaces, .skipped) }
        switch unit(start) {
        case 0x00, 0x200B, 0x200E, 0x200F, 0xFEFF: offer(start + 1, .skipped)
        default: break
        }
        if PTBCharacters.isNewline(unit(start)) { offer(start + 1, .skipped) }
        offer(literal("&nbsp;", start), .skipped)
    }
}

/// Words after which a point does not end the sentence, or not always.
enum PTBAbbreviations {
    /// Words in either case, and those of which one letter must stand in a given case.
    struct Words {
        private let plain: Set<[UInt16]>
        private let marked: [[UInt16]: (index: Int, isCapital: Bool)]

        /// - Parameters:
        ///   - words: Words in any case, parted by spaces.
        ///   - capitalised: Words whose first letter must be a capital.
        ///   - lowercase: Words with the index of a letter that must be lower-case.
        init(_ words: String, capitalised: String = "", lowercase: [(String, Int)] = []) {
            let split = { (text: String) in text.lowercased().split(separator: " ").map { Array($0.utf16) } }
            plain = Set(split(words))
            var marked: [[UInt16]: (index: Int, isCapital: Bool)] = [:]
            for word in split(capitalised) { marked[word] = (0, true) }
            for (word, index) in lowercase { marked[Array(word.utf16)] = (index, false) }
            self.marked = marked
        }

        func contains(_ word: ArraySlice<UInt16>) -> Bool {
            guard !word.isEmpty, word.count <= 12 else { return false }
            let key = word.map(PTBCharacters.lowercase)
            if plain.contains(key) { return true }
            guard let mark = marked[key] else { return false }
            return PTBCharacters.isCapital(word[word.startIndex + mark.index]) == mark.isCapital
        }
    }

    /// Usually followed by lower-case words; before a capital they end the sentence.
    static let beforeLowercase = Words(
        """
        Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thurs Fri Ala Ariz Calif Colo Conn Ct Dak \
        Fla Ga Ind Kan Kans Ky Md Mich Minn Mo Mont Neb Nev Okla Penn Tenn Va Vt Wis Wisc Wyo Inc Co Cos Corp Ltd Plc \
        Rt Bancorp Bhd Assn Univ Intl Sys tel est ext sq Jr Sr Bros Blvd Rd Esq etc al seq Bldg
        """,
        capitalised: "Az Ark Del Ill La Mass Miss Ore Pa Tex Wash",
        lowercase: [
            ("pty", 2), ("pte", 2), ("ptys", 2), ("ptes", 2), ("ppty", 3), ("ppte", 3), ("pptys", 3), ("pptes", 3),
        ]
    )

    /// Usually followed by a capital; they never end the sentence.
    static let beforeCapital = Words(
        """
        Mr Mrs Ms Dr Drs Prof Profs Sen Sens Rep Reps Atty Attys Lt Col Gen Messrs Gov Govs Adm Rev Maj Sgt Cpl Pvt \
        Capt St Ste Ave Pres Lieut Hon Brig Cmdr Comdr Pfc Spc Supt Supts Det Mt Ft Adj Adv Asst Assoc Ens Insp Mlle \
        Mme Msgr Sfc vs Alex Wm Jos Cie cf TREAS Ph Invt Elec Natl Dept
        """,
        capitalised: "Miss",
        lowercase: [("mfg", 1), ("mtg", 1)]
    )

    static let beforeNumber = Words("ca fig figs prop no nos art bldg pp op")
    static let companies = Words("pte pty co")

    /// Words that often begin a sentence after an acronym.
    static let sentenceStarts = Words(
        "",
        capitalised: """
            About According Additionally After An A As At But Earlier He Her Here However If In It Last Many More Now \
            Once One Other Our She Since So Some Such That The Their Then There These They This We When While What \
            Yet You
            """
    )

    static let fileSuffixes: [StaticString] = [
        "bat", "bmp", "c", "class", "cgi", "cpp", "dll", "doc", "docx", "exe", "gif", "gz", "h", "htm", "html", "jar",
        "java", "jpeg", "jpg", "mov", "mp3", "pdf", "php", "pl", "png", "ppt", "ps", "py", "sql", "tar", "txt", "wav",
        "x", "xml", "zip",
    ]
}
