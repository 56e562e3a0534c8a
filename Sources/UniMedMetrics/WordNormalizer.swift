/// The word normaliser of the published evaluation code, through which answers pass before they are compared.
///
/// It comes from the scoring of visual question answering. Its quirks are kept, because published numbers contain them:
/// whether a mark is deleted or replaced by a space is decided per mark on the original text; one digit-comma-digit
/// anywhere has every mark deleted; only the first 32 periods that no digit follows go; applying it twice can change the
/// text again.
public enum WordNormalizer {
    /// The marks that are deleted or replaced; a point, colon, apostrophe and ampersand are not among them.
    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case ";", "/", "[", "]", "\"", "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">", "<", "@", "`", ",", "?", "!":
            true
        default: false
        }
    }

    /// How many periods are removed at most.
    private static let periodLimit = 32

    private static let numbers: [String: String] = [
        "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
        "seven": "7", "eight": "8", "nine": "9", "ten": "10",
    ]

    private static let articles: Set<String> = ["a", "an", "the"]

    // Contractions written without their apostrophes; what the published table maps to itself is left out.
    private static let contractions: [String: String] = [
        "'ow'sat": "'ow's'at", "'ows'at": "'ow's'at", "aint": "ain't", "arent": "aren't", "cant": "can't",
        "couldn'tve": "couldn't've", "couldnt": "couldn't", "couldnt've": "couldn't've", "couldve": "could've",
        "didnt": "didn't", "doesnt": "doesn't", "dont": "don't", "hadn'tve": "hadn't've", "hadnt": "hadn't",
        "hadnt've": "hadn't've", "hasnt": "hasn't", "havent": "haven't", "he'dve": "he'd've", "hed": "he'd",
        "hed've": "he'd've", "hes": "he's", "howd": "how'd", "howll": "how'll", "hows": "how's", "isnt": "isn't",
        "it'dve": "it'd've", "itd": "it'd", "itd've": "it'd've", "itll": "it'll", "maam": "ma'am",
        "mightn'tve": "mightn't've", "mightnt": "mightn't", "mightnt've": "mightn't've", "mightve": "might've",
        "mustnt": "mustn't", "mustve": "must've", "neednt": "needn't", "notve": "not've", "oclock": "o'clock",
        "oughtnt": "oughtn't", "ow's'at": "'ow's'at", "shant": "shan't", "she'dve": "she'd've", "shed've": "she'd've",
        "shouldn'tve": "shouldn't've", "shouldnt": "shouldn't", "shouldnt've": "shouldn't've", "shouldve": "should've",
        "somebody'd": "somebodyd", "somebody'dve": "somebody'd've", "somebodyd've": "somebody'd've",
        "somebodyll": "somebody'll", "somebodys": "somebody's", "someone'dve": "someone'd've", "someoned": "someone'd",
        "someoned've": "someone'd've", "someonell": "someone'll", "someones": "someone's",
        "something'dve": "something'd've", "somethingd": "something'd", "somethingd've": "something'd've",
        "somethingll": "something'll", "thats": "that's", "there'dve": "there'd've", "thered": "there'd",
        "thered've": "there'd've", "therere": "there're", "theres": "there's", "they'dve": "they'd've",
        "theyd": "they'd", "theyd've": "they'd've", "theyll": "they'll", "theyre": "they're", "theyve": "they've",
        "twas": "'twas", "wasnt": "wasn't", "we'dve": "we'd've", "wed've": "we'd've", "werent": "weren't",
        "weve": "we've", "whatll": "what'll", "whatre": "what're", "whats": "what's", "whatve": "what've",
        "whens": "when's", "whered": "where'd", "wheres": "where's", "whereve": "where've", "who'dve": "who'd've",
        "whod": "who'd", "whod've": "who'd've", "wholl": "who'll", "whos": "who's", "whove": "who've",
        "whyll": "why'll", "whyre": "why're", "whys": "why's", "wont": "won't", "wouldn'tve": "wouldn't've",
        "wouldnt": "wouldn't", "wouldnt've": "wouldn't've", "wouldve": "would've", "y'all'dve": "y'all'd've",
        "y'alld've": "y'all'd've", "y'allll": "y'all'll", "yall": "y'all", "yall'd've": "y'all'd've",
        "yall'll": "y'all'll", "you'dve": "you'd've", "youd": "you'd", "youd've": "you'd've", "youll": "you'll",
        "youre": "you're", "youve": "you've",
    ]

    /// What stands for a word; nothing for an article.
    private static let replacements: [String: String] = {
        var result = contractions.merging(numbers) { _, number in number }
        for article in articles { result[article] = "" }
        return result
    }()

    /// The normalised text: marks and articles gone, lower case, number words as digits, single spaces.
    public static func normalize(_ text: String) -> String {
        words(text).joined(separator: " ")
    }

    /// The words of the normalised text.
    public static func words(_ text: String) -> [String] {
        let scalars = withoutPeriods(withoutMarks(Array(text.unicodeScalars)))
        return String(codePoints: scalars).referenceLowercased.referenceWords.compactMap { word in
            // No article, and nothing that takes the place of a word, is replaced again.
            guard let replacement = replacements[word] else { return word }
            return replacement.isEmpty ? nil : replacement
        }
    }

    /// A model's output as the published evaluation reads it: lower case, without `<unk>`, trimmed.
    public static func cleanedPrediction(_ output: String) -> String {
        output.referenceLowercased.removing("<unk>").referenceTrimmed
    }

    private static func withoutMarks(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var besideSpace = Set<Unicode.Scalar>()
        var deletesAll = false
        for index in scalars.indices {
            let previous = index > 0 ? scalars[index - 1] : nil
            let next = index + 1 < scalars.count ? scalars[index + 1] : nil
            let scalar = scalars[index]
            guard isMark(scalar) else { continue }
            if previous == " " || next == " " { besideSpace.insert(scalar) }
            if scalar == ",", previous?.decimalDigitValue != nil, next?.decimalDigitValue != nil { deletesAll = true }
        }
        return scalars.compactMap { scalar in
            guard isMark(scalar) else { return scalar }
            return deletesAll || besideSpace.contains(scalar) ? nil : " "
        }
    }

    private static func withoutPeriods(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var removed = 0
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(scalars.count)
        for index in scalars.indices {
            let isFollowedByDigit = index + 1 < scalars.count && scalars[index + 1].decimalDigitValue != nil
            if scalars[index] == ".", !isFollowedByDigit, removed < periodLimit {
                removed += 1
            } else {
                result.append(scalars[index])
            }
        }
        return result
    }
}

package extension String {
    /// The string without any occurrence of a part, found from the left, by code points.
    func removing(_ part: String) -> String {
        guard let first = part.utf8.first, utf8.contains(first) else { return self }
        let haystack = Array(unicodeScalars)
        let needle = Array(part.unicodeScalars)
        guard !needle.isEmpty, haystack.count >= needle.count else { return self }
        var result = String.UnicodeScalarView()
        var index = 0
        while index < haystack.count {
            if index + needle.count <= haystack.count, haystack[index..<(index + needle.count)].elementsEqual(needle) {
                index += needle.count
            } else {
                result.append(haystack[index])
                index += 1
            }
        }
        return String(result)
    }
}
