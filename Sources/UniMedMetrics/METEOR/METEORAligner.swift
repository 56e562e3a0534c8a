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
enum METEORAligner {
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
        /// The place of the path that this one goes on from.
        var parent: Int32 = 0
        /// The match that it adds to it, or `-1`.
        var added: Int32 = -1

        mutating func add(_ match: Candidate) {
            matches1 = match.total(matches1, match.matchLength)
            matches2 = match.total(matches2, match.length)
            if lastEnd != -1, match.matchStart != lastEnd { chunks += 1 }
            index = match.start + match.length
            lastEnd = match.matchStart + match.matchLength
        }
    }

    /// How good a path is, the smaller the better: more matched words, fewer chunks, smaller distance, and as they came.
    private struct Rank {
        let matchesAndChunks: UInt64
        let distanceAndPlace: UInt64

        init(_ path: Path, place: Int) {
            let missing = UInt64(UInt32.max - UInt32(path.matches1 + path.matches2))
            matchesAndChunks = missing << 32 | UInt64(path.chunks)
            distanceAndPlace = UInt64(path.distance) << 32 | UInt64(place)
        }

        var place: Int { Int(distanceAndPlace & 0xFFFF_FFFF) }

        static func < (lhs: Rank, rhs: Rank) -> Bool {
            lhs.matchesAndChunks == rhs.matchesAndChunks
                ? lhs.distanceAndPlace < rhs.distanceAndPlace : lhs.matchesAndChunks < rhs.matchesAndChunks
        }
    }

    /// The paths that go on at a word.
    private struct Beam {
        /// How many there are at most.
        static let width = 40

        /// The best one first.
        private(set) var ranks: [Rank] = []
        /// The paths as they came, with some that better ones have put out of the ranks.
        private(set) var paths: [Path] = []

        mutating func removeAll() {
            ranks.removeAll(keepingCapacity: true)
            paths.removeAll(keepingCapacity: true)
        }

        mutating func keep(_ path: Path) {
            let rank = Rank(path, place: paths.count)
            var place = ranks.count
            if place == Beam.width {
                guard rank < ranks[place - 1] else { return }
                place -= 1
            } else {
                ranks.append(rank)
            }
            paths.append(path)
            ranks.withUnsafeMutableBufferPointer { ranks in
                while place > 0, rank < ranks[place - 1] {
                    ranks[place] = ranks[place - 1]
                    place -= 1
                }
                ranks[place] = rank
            }
        }
    }

    private struct Choice {
        var candidate: Int32
        var previous: Int32
    }

    /// Which words each path has taken: a row of bits, first the hypothesis's, then the reference's.
    private struct TakenWords {
        let hypothesisCount: Int
        private let stride: Int
        private var bits: [UInt64]

        init(rows: Int, hypothesisCount: Int, referenceCount: Int) {
            self.hypothesisCount = hypothesisCount
            stride = (hypothesisCount + referenceCount + 63) / 64
            bits = [UInt64](repeating: 0, count: rows * stride)
        }

        private func contains(_ row: Int, _ index: Int) -> Bool {
            bits[row * stride + index >> 6] & (1 << UInt64(index & 63)) != 0
        }

        /// Whether a word of the reference is taken.
        func containsReference(_ row: Int, _ word: Int) -> Bool { contains(row, hypothesisCount + word) }

        /// Whether any word of a match is taken.
        func overlaps(_ row: Int, _ match: Candidate) -> Bool {
            for word in match.start..<(match.start + match.length) where containsReference(row, Int(word)) {
                return true
            }
            for word in match.matchStart..<(match.matchStart + match.matchLength) where contains(row, Int(word)) {
                return true
            }
            return false
        }

        mutating func take(_ row: Int, _ match: Candidate) {
            for word in match.start..<(match.start + match.length) { insert(row, hypothesisCount + Int(word)) }
            for word in match.matchStart..<(match.matchStart + match.matchLength) { insert(row, Int(word)) }
        }

        private mutating func insert(_ row: Int, _ index: Int) {
            bits[row * stride + index >> 6] |= 1 << UInt64(index & 63)
        }

        mutating func copy(_ row: Int, from other: TakenWords, _ otherRow: Int) {
            for index in 0..<stride { bits[row * stride + index] = other.bits[otherRow * stride + index] }
        }
    }

    /// The matches of the best alignment, by their place in the reference.
    ///
    /// - Parameters:
    ///   - candidates: The possible matches, those at each word of the reference in the order in which the stages found
    ///     them.
    ///   - hypothesisCount: The words of the hypothesis.
    ///   - referenceCount: The words of the reference.
    static func best(_ candidates: [Candidate], hypothesisCount: Int, referenceCount: Int) -> [Candidate] {
        let (flat, offsets) = byStart(candidates, referenceCount)
        let fixed = fixed(flat, offsets, hypothesisCount)
        var taken = TakenWords(rows: Beam.width, hypothesisCount: hypothesisCount, referenceCount: referenceCount)
        var nextTaken = taken
        for index in fixed where index >= 0 { taken.take(0, flat[Int(index)]) }

        var paths = [Path()]
        var beam = Beam()
        var history: [Choice] = []
        for current in 0...referenceCount {
            beam.removeAll()
            for place in paths.indices {
                var path = paths[place]
                path.parent = Int32(place)
                path.added = -1
                if current == referenceCount {
                    if path.lastEnd != -1 { path.chunks += 1 }
                    beam.keep(path)
                    continue
                }
                if taken.containsReference(place, current) {
                    if current < Int(path.index) {
                        beam.keep(path)
                    } else if fixed[Int(path.index)] >= 0 {
                        let match = flat[Int(fixed[Int(path.index)])]
                        path.add(match)
                        path.distance += abs(match.start - match.matchStart)
                        beam.keep(path)
                    }
                    continue
                }
                for index in offsets[current]..<offsets[current + 1] {
                    let match = flat[index]
                    if taken.overlaps(place, match) { continue }
                    var next = path
                    next.add(match)
                    next.added = Int32(index)
                    beam.keep(next)
                    // The distance goes to the path that is extended, not to the new one.
                    path.distance += abs(match.start - match.matchStart)
                }
                if path.lastEnd != -1 {
                    path.chunks += 1
                    path.lastEnd = -1
                }
                path.index += 1
                beam.keep(path)
            }
            if beam.ranks.isEmpty {
                paths[0].parent = 0
                paths[0].added = -1
                beam.keep(paths[0])
            }
            paths.removeAll(keepingCapacity: true)
            for rank in beam.ranks {
                var path = beam.paths[rank.place]
                nextTaken.copy(paths.count, from: taken, Int(path.parent))
                if path.added >= 0 {
                    nextTaken.take(paths.count, flat[Int(path.added)])
                    history.append(Choice(candidate: path.added, previous: path.history))
                    path.history = Int32(history.count - 1)
                }
                paths.append(path)
            }
            swap(&taken, &nextTaken)
        }
        var chosen = fixed.filter { $0 >= 0 }.map { flat[Int($0)] }
        var link = paths[0].history
        while link >= 0 {
            chosen.append(flat[Int(history[Int(link)].candidate)])
            link = history[Int(link)].previous
        }
        return chosen.sorted { $0.start < $1.start }
    }

    /// Puts the matches that begin at the same word side by side, and tells where those of each word stand.
    private static func byStart(_ candidates: [Candidate], _ referenceCount: Int) -> (flat: [Candidate], offsets: [Int])
    {
        var offsets = [Int](repeating: 0, count: referenceCount + 1)
        for match in candidates { offsets[Int(match.start) + 1] += 1 }
        for index in 0..<referenceCount { offsets[index + 1] += offsets[index] }
        var next = offsets
        var flat = candidates
        for match in candidates {
            flat[next[Int(match.start)]] = match
            next[Int(match.start)] += 1
        }
        return (flat, offsets)
    }

    /// The matches, by the word they begin at, that stand alone there and whose words no other match covers; `-1` where
    /// there is none.
    private static func fixed(_ flat: [Candidate], _ offsets: [Int], _ hypothesisCount: Int) -> [Int32] {
        var hypothesisCoverage = [Int32](repeating: 0, count: hypothesisCount)
        var referenceCoverage = [Int32](repeating: 0, count: offsets.count - 1)
        for match in flat {
            for word in 0..<match.length { referenceCoverage[Int(match.start + word)] += 1 }
            for word in 0..<match.matchLength { hypothesisCoverage[Int(match.matchStart + word)] += 1 }
        }
        var fixed = [Int32](repeating: -1, count: offsets.count)
        for index in 0..<(offsets.count - 1) where offsets[index + 1] - offsets[index] == 1 {
            let match = flat[offsets[index]]
            guard (0..<match.length).allSatisfy({ referenceCoverage[Int(match.start + $0)] == 1 }),
                (0..<match.matchLength).allSatisfy({ hypothesisCoverage[Int(match.matchStart + $0)] == 1 })
            else { continue }
            fixed[index] = Int32(offsets[index])
        }
        return fixed
    }
}
