/// One match of a phrase of the hypothesis with a phrase of the reference.
public struct METEORMatch: Sendable, Equatable {
    /// The first word in the reference.
    public var referenceStart: Int
    /// The number of words in the reference.
    public var referenceLength: Int
    /// The first word in the hypothesis.
    public var hypothesisStart: Int
    /// The number of words in the hypothesis.
    public var hypothesisLength: Int
    /// The stage that found it.
    public var stage: METEOR.Stage
}

/// Finds the best alignment of two sentences, as METEOR 1.5 does: a beam search over the reference's words.
///
/// A search keeps its memory from one pair to the next.
struct METEORAligner {
    /// How many paths go on at each word.
    private static let beam = 40

    /// A match as the search sees it.
    struct Candidate {
        var start: Int32
        var length: Int32
        var matchStart: Int32
        var matchLength: Int32
        var stage: METEOR.Stage

        /// What the match adds to the integer totals: its words for an exact match, half of them, rounded down after each
        /// addition, for the others.
        func total(_ sum: Int32, _ words: Int32) -> Int32 {
            stage == .exact ? sum + words : (2 * sum + words) / 2
        }
    }

    private struct Path {
        var matches1: Int32 = 0
        var matches2: Int32 = 0
        var chunks: Int32 = 0
        var distance: Int32 = 0
        var index: Int32 = 0
        var lastEnd: Int32 = -1
        /// The chain of chosen matches, as an index into the history.
        var history: Int32 = -1
    }

    private struct Choice {
        var candidate: Int32
        var previous: Int32
    }

    private var paths: [Path] = []
    private var nextPaths: [Path] = []
    /// Which words are taken, `stride` words of bits for each path: first the hypothesis's, then the reference's.
    private var bits: [UInt64] = []
    private var nextBits: [UInt64] = []
    private var history: [Choice] = []
    private var order: [Int32] = []

    /// The matches of the best alignment, by their place in the reference.
    ///
    /// - Parameters:
    ///   - candidates: The possible matches at each word of the reference, in the order in which the stages found them.
    ///   - hypothesisCount: The words of the hypothesis.
    mutating func best(_ candidates: [[Candidate]], hypothesisCount: Int) -> [Candidate] {
        let referenceCount = candidates.count
        let flat = candidates.flatMap { $0 }
        var offsets = [Int](repeating: 0, count: referenceCount + 1)
        for index in 0..<referenceCount { offsets[index + 1] = offsets[index] + candidates[index].count }

        var fixed = [Int32](repeating: -1, count: referenceCount + 1)
        let offset = hypothesisCount
        let stride = (hypothesisCount + referenceCount + 63) / 64
        bits = [UInt64](repeating: 0, count: stride)
        fix(flat, offsets, hypothesisCount, &fixed, offset)

        paths = []
        nextPaths = [Path()]
        nextBits = bits
        history.removeAll(keepingCapacity: true)
        for current in 0...referenceCount {
            swap(&paths, &nextPaths)
            swap(&bits, &nextBits)
            nextPaths.removeAll(keepingCapacity: true)
            nextBits.removeAll(keepingCapacity: true)
            sort()
            for rank in 0..<min(METEORAligner.beam, paths.count) {
                let place = Int(order[rank])
                var path = paths[place]
                let base = place * stride
                if current == referenceCount {
                    if path.lastEnd != -1 { path.chunks += 1 }
                    push(path, base, stride)
                    continue
                }
                if isUsed(base, offset + current) {
                    if current < Int(path.index) {
                        push(path, base, stride)
                    } else if fixed[Int(path.index)] >= 0 {
                        let match = flat[Int(fixed[Int(path.index)])]
                        add(match, to: &path)
                        path.distance += abs(match.start - match.matchStart)
                        push(path, base, stride)
                    }
                    continue
                }
                for index in offsets[current]..<offsets[current + 1] {
                    let match = flat[index]
                    if overlaps(match, base, offset) { continue }
                    var next = path
                    add(match, to: &next)
                    history.append(Choice(candidate: Int32(index), previous: path.history))
                    next.history = Int32(history.count - 1)
                    push(next, base, stride)
                    mark(match, nextBits.count - stride, offset)
                    // The distance goes to the path that is extended, not to the new one.
                    path.distance += abs(match.start - match.matchStart)
                }
                if path.lastEnd != -1 {
                    path.chunks += 1
                    path.lastEnd = -1
                }
                path.index += 1
                push(path, base, stride)
            }
            if nextPaths.isEmpty {
                let place = Int(order[0])
                push(paths[place], place * stride, stride)
            }
        }
        swap(&paths, &nextPaths)
        sort()
        var chosen = fixed.filter { $0 >= 0 }.map { flat[Int($0)] }
        var link = paths[Int(order[0])].history
        while link >= 0 {
            chosen.append(flat[Int(history[Int(link)].candidate)])
            link = history[Int(link)].previous
        }
        return chosen.sorted { $0.start < $1.start }
    }

    /// Fixes the matches that stand alone at their word and whose words no other match covers.
    private mutating func fix(
        _ flat: [Candidate],
        _ offsets: [Int],
        _ hypothesisCount: Int,
        _ fixed: inout [Int32],
        _ offset: Int
    ) {
        var hypothesisCoverage = [Int32](repeating: 0, count: hypothesisCount)
        var referenceCoverage = [Int32](repeating: 0, count: offsets.count - 1)
        for match in flat {
            for word in 0..<match.length { referenceCoverage[Int(match.start + word)] += 1 }
            for word in 0..<match.matchLength { hypothesisCoverage[Int(match.matchStart + word)] += 1 }
        }
        for index in 0..<(offsets.count - 1) where offsets[index + 1] - offsets[index] == 1 {
            let match = flat[offsets[index]]
            guard (0..<match.length).allSatisfy({ referenceCoverage[Int(match.start + $0)] == 1 }),
                (0..<match.matchLength).allSatisfy({ hypothesisCoverage[Int(match.matchStart + $0)] == 1 })
            else { continue }
            fixed[index] = Int32(offsets[index])
            for word in 0..<match.length { set(&bits, offset + index + Int(word)) }
            for word in 0..<match.matchLength { set(&bits, Int(match.matchStart + word)) }
        }
    }

    private func add(_ match: Candidate, to path: inout Path) {
        path.matches1 = match.total(path.matches1, match.matchLength)
        path.matches2 = match.total(path.matches2, match.length)
        if path.lastEnd != -1, match.matchStart != path.lastEnd { path.chunks += 1 }
        path.index = match.start + match.length
        path.lastEnd = match.matchStart + match.matchLength
    }

    private mutating func push(_ path: Path, _ base: Int, _ stride: Int) {
        nextPaths.append(path)
        nextBits.append(contentsOf: bits[base..<(base + stride)])
    }

    private func set(_ bits: inout [UInt64], _ index: Int) { bits[index >> 6] |= 1 << UInt64(index & 63) }

    private func isUsed(_ base: Int, _ index: Int) -> Bool {
        bits[base + index >> 6] & (1 << UInt64(index & 63)) != 0
    }

    private func overlaps(_ match: Candidate, _ base: Int, _ offset: Int) -> Bool {
        for word in 0..<Int(match.length) where isUsed(base, offset + Int(match.start) + word) { return true }
        for word in 0..<Int(match.matchLength) where isUsed(base, Int(match.matchStart) + word) { return true }
        return false
    }

    private mutating func mark(_ match: Candidate, _ base: Int, _ offset: Int) {
        for word in 0..<Int(match.length) {
            let index = offset + Int(match.start) + word
            nextBits[base + index >> 6] |= 1 << UInt64(index & 63)
        }
        for word in 0..<Int(match.matchLength) {
            let index = Int(match.matchStart) + word
            nextBits[base + index >> 6] |= 1 << UInt64(index & 63)
        }
    }

    /// Sorts the paths: more matched words, fewer chunks, smaller distance, and as they came.
    private mutating func sort() {
        order.removeAll(keepingCapacity: true)
        order.append(contentsOf: 0..<Int32(paths.count))
        guard paths.count > 1 else { return }
        let paths = paths
        order.sort { first, second in
            let a = paths[Int(first)]
            let b = paths[Int(second)]
            let totalA = a.matches1 + a.matches2
            let totalB = b.matches1 + b.matches2
            if totalA != totalB { return totalA > totalB }
            if a.chunks != b.chunks { return a.chunks < b.chunks }
            if a.distance != b.distance { return a.distance < b.distance }
            return first < second
        }
    }
}
