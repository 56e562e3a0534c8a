/// The English stemmer of the Snowball project, also called Porter 2, in the version that METEOR 1.5 carries.
///
/// Martin Porter, "The English (Porter2) stemming algorithm", 2001.
public enum EnglishStemmer {
    /// The stem of a lower-case word.
    public static func stem(_ word: String) -> String {
        var letters = Array(word.utf16)
        guard letters.count > 2 else { return word }
        if let exception = exceptions[word] { return exception }
        var state = StemmerState(letters: &letters)
        state.run()
        return String(decoding: state.letters, as: UTF16.self)
    }

    private static let exceptions: [String: String] = [
        "skis": "ski", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "idly": "idl",
        "gently": "gentl", "ugly": "ugli", "early": "earli", "only": "onli", "singly": "singl", "sky": "sky",
        "news": "news", "howe": "howe", "atlas": "atlas", "cosmos": "cosmos", "bias": "bias", "andes": "andes",
    ]
}

private struct StemmerState {
    var letters: [UInt16]
    private var firstRegion = 0
    private var secondRegion = 0

    /// A `y` that stands for a consonant.
    private static let consonantY = UInt16(UInt8(ascii: "Y"))
    private static let y = UInt16(UInt8(ascii: "y"))
    private static let e = UInt16(UInt8(ascii: "e"))
    private static let l = UInt16(UInt8(ascii: "l"))
    private static let apostrophe = UInt16(UInt8(ascii: "'"))

    init(letters: inout [UInt16]) {
        self.letters = letters
    }

    mutating func run() {
        if letters.first == Self.apostrophe { letters.removeFirst() }
        var hasConsonantY = false
        for index in letters.indices where letters[index] == Self.y {
            if index == 0 || isVowel(index - 1) {
                letters[index] = Self.consonantY
                hasConsonantY = true
            }
        }
        markRegions()
        possessives()
        if !plurals() {
            pastAndParticiple()
            finalY()
            derivations()
            moreDerivations()
            lastSuffixes()
            lastLetter()
        }
        guard hasConsonantY else { return }
        letters = letters.map { $0 == Self.consonantY ? Self.y : $0 }
    }

    // MARK: Reading

    private func isVowel(_ index: Int) -> Bool {
        switch letters[index] {
        case 0x61, 0x65, 0x69, 0x6F, 0x75, 0x79: true
        default: false
        }
    }

    private func ends(_ suffix: StaticString) -> Bool {
        let count = suffix.utf8CodeUnitCount
        guard letters.count >= count else { return false }
        return suffix.withUTF8Buffer { bytes in
            zip(letters[(letters.count - count)...], bytes).allSatisfy { $0 == UInt16($1) }
        }
    }

    private func begins(_ prefix: StaticString) -> Bool {
        guard letters.count >= prefix.utf8CodeUnitCount else { return false }
        return prefix.withUTF8Buffer { bytes in zip(letters, bytes).allSatisfy { $0 == UInt16($1) } }
    }

    /// The first of the suffixes, which stand longest first, that the word ends in.
    private func longest(_ suffixes: [StaticString]) -> Int? {
        suffixes.firstIndex(where: ends)
    }

    private func isInFirst(_ count: Int) -> Bool { letters.count - count >= firstRegion }
    private func isInSecond(_ count: Int) -> Bool { letters.count - count >= secondRegion }

    private mutating func replace(_ count: Int, _ suffix: StaticString) {
        letters.removeLast(count)
        suffix.withUTF8Buffer { letters.append(contentsOf: $0.map { UInt16($0) }) }
    }

    private func afterVowelAndConsonant(_ from: Int) -> Int {
        var index = from
        while index < letters.count, !isVowel(index) { index += 1 }
        while index < letters.count, isVowel(index) { index += 1 }
        return min(index + 1, letters.count)
    }

    private mutating func markRegions() {
        if begins("gener") {
            firstRegion = 5
        } else if begins("commun") {
            firstRegion = 6
        } else if begins("arsen") {
            firstRegion = 5
        } else {
            firstRegion = afterVowelAndConsonant(0)
        }
        secondRegion = afterVowelAndConsonant(firstRegion)
    }

    /// Whether what is left ends in a short syllable: consonant, vowel, consonant other than w, x, Y; or a vowel and a
    /// consonant that are all.
    private func endsInShortSyllable(_ count: Int) -> Bool {
        guard count >= 2, isVowel(count - 2), !isVowel(count - 1) else { return false }
        if count == 2 { return true }
        let last = letters[count - 1]
        return !isVowel(count - 3) && last != 0x77 && last != 0x78 && last != Self.consonantY
    }

    // MARK: Steps

    private mutating func possessives() {
        for suffix: StaticString in ["'s'", "'s", "'"] where ends(suffix) {
            letters.removeLast(suffix.utf8CodeUnitCount)
            return
        }
    }

    /// Returns whether the word is one that must stay as it then is.
    private mutating func plurals() -> Bool {
        if ends("sses") {
            letters.removeLast(2)
        } else if ends("ied") || ends("ies") {
            replace(3, letters.count > 4 ? "i" : "ie")
        } else if ends("s"), !ends("us"), !ends("ss") {
            if letters.count > 2, (0..<(letters.count - 2)).contains(where: isVowel) { letters.removeLast() }
        }
        let kept: [StaticString] = [
            "inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed",
        ]
        return kept.contains { letters.count == $0.utf8CodeUnitCount && ends($0) }
    }

    private mutating func pastAndParticiple() {
        guard let index = longest(["eedly", "ingly", "edly", "eed", "ing", "ed"]) else { return }
        let counts = [5, 5, 4, 3, 3, 2]
        let count = counts[index]
        if index == 0 || index == 3 {
            if isInFirst(count) { replace(count, "ee") }
            return
        }
        guard (0..<(letters.count - count)).contains(where: isVowel) else { return }
        letters.removeLast(count)
        if ends("at") || ends("bl") || ends("iz") {
            letters.append(Self.e)
        } else if ["bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt"].contains(where: ends) {
            letters.removeLast()
        } else if letters.count <= firstRegion, endsInShortSyllable(letters.count) {
            letters.append(Self.e)
        }
    }

    private mutating func finalY() {
        guard letters.count > 2, ends("y") || ends("Y"), !isVowel(letters.count - 2) else { return }
        letters[letters.count - 1] = UInt16(UInt8(ascii: "i"))
    }

    private mutating func derivations() {
        let table: [(StaticString, StaticString)] = [
            ("ization", "ize"), ("ational", "ate"), ("fulness", "ful"), ("ousness", "ous"), ("iveness", "ive"),
            ("tional", "tion"), ("biliti", "ble"), ("lessli", "less"), ("entli", "ent"), ("ation", "ate"),
            ("alism", "al"), ("aliti", "al"), ("ousli", "ous"), ("iviti", "ive"), ("fulli", "ful"), ("enci", "ence"),
            ("anci", "ance"), ("abli", "able"), ("izer", "ize"), ("ator", "ate"), ("alli", "al"), ("bli", "ble"),
            ("ogi", "og"), ("li", ""),
        ]
        guard let (suffix, replacement) = table.first(where: { ends($0.0) }) else { return }
        let count = suffix.utf8CodeUnitCount
        guard isInFirst(count) else { return }
        if count == 3, ends("ogi") {
            guard letters.count > 3, letters[letters.count - 4] == Self.l else { return }
        } else if count == 2 {
            guard letters.count > 2 else { return }
            switch letters[letters.count - 3] {
            case 0x63, 0x64, 0x65, 0x67, 0x68, 0x6B, 0x6D, 0x6E, 0x72, 0x74: break
            default: return
            }
        }
        replace(count, replacement)
    }

    private mutating func moreDerivations() {
        let table: [(StaticString, StaticString)] = [
            ("ational", "ate"), ("tional", "tion"), ("alize", "al"), ("icate", "ic"), ("iciti", "ic"), ("ative", ""),
            ("ical", "ic"), ("ness", ""), ("ful", ""),
        ]
        guard let (suffix, replacement) = table.first(where: { ends($0.0) }) else { return }
        let count = suffix.utf8CodeUnitCount
        guard isInFirst(count), !ends("ative") || isInSecond(5) else { return }
        replace(count, replacement)
    }

    private mutating func lastSuffixes() {
        let suffixes: [StaticString] = [
            "ement", "able", "ance", "ence", "ible", "ment", "ant", "ate", "ent", "ion", "ism", "iti", "ive", "ize",
            "ous", "al", "er", "ic",
        ]
        guard let index = longest(suffixes) else { return }
        let count = suffixes[index].utf8CodeUnitCount
        guard isInSecond(count) else { return }
        if ends("ion") {
            guard letters.count > 3 else { return }
            let before = letters[letters.count - 4]
            guard before == 0x73 || before == 0x74 else { return }
        }
        letters.removeLast(count)
    }

    private mutating func lastLetter() {
        if ends("e") {
            if isInSecond(1) || (isInFirst(1) && !endsInShortSyllable(letters.count - 1)) { letters.removeLast() }
        } else if ends("l"), isInSecond(1), letters.count > 1, letters[letters.count - 2] == Self.l {
            letters.removeLast()
        }
    }
}
