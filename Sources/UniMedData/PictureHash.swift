import Foundation

/// A perceptual hash of a picture: 64 bits that stay nearly the same when a picture is encoded or scaled again.
///
/// The picture in grey (BT.601) is averaged to 32 by 32 values; of its discrete cosine transform the 8 by 8 lowest
/// frequencies are taken, and each bit says whether one is above their median. The constant part, which is the
/// brightness, is not among the values of the median and has no bit.
public struct PictureHash: Sendable, Equatable, Hashable {
    /// The bits; bit 0 is the constant part's and never set.
    public let bits: UInt64

    /// Makes a hash of its bits.
    public init(bits: UInt64) { self.bits = bits }

    /// The number of bits in which two hashes differ, from 0 to 64.
    public func distance(to other: PictureHash) -> Int { (bits ^ other.bits).nonzeroBitCount }

    /// The hash of a picture.
    ///
    /// - Parameters:
    ///   - pixels: `[size, size, 3]`, 8-bit RGB, rows from the top.
    ///   - size: The width and height, in pixels.
    /// - Precondition: `pixels` holds `size * size * 3` bytes and `size` is positive.
    public init(pixels: UnsafeRawBufferPointer, size: Int) {
        self.init(thumbnail: GreyThumbnail(pixels: pixels, size: size, side: Self.side))
    }

    private static let side = 32
    private static let frequencies = 8

    /// `cos((2x + 1) u pi / 64)` for each frequency `u` and position `x`.
    private static let cosines: [Float] = (0..<frequencies).flatMap { frequency in
        (0..<side).map { position in
            Float(cos(Double((2 * position + 1) * frequency) * Double.pi / Double(2 * side)))
        }
    }

    private init(thumbnail: GreyThumbnail) {
        let (side, count) = (Self.side, Self.frequencies)
        var rows = [Float](repeating: 0, count: side * count)
        for y in 0..<side {
            for u in 0..<count {
                var sum: Float = 0
                for x in 0..<side { sum += thumbnail.values[y * side + x] * Self.cosines[u * side + x] }
                rows[y * count + u] = sum
            }
        }
        var coefficients = [Float](repeating: 0, count: count * count)
        for v in 0..<count {
            for u in 0..<count {
                var sum: Float = 0
                for y in 0..<side { sum += rows[y * count + u] * Self.cosines[v * side + y] }
                // What rounding leaves of a frequency that the picture does not have is no sign of anything.
                coefficients[v * count + u] = abs(sum) < 1 ? 0 : sum
            }
        }
        let median = coefficients.dropFirst().sorted()[(count * count - 1) / 2]
        var bits: UInt64 = 0
        for index in 1..<count * count where coefficients[index] > median { bits |= 1 << UInt64(index) }
        self.bits = bits
    }
}

/// A picture in grey, averaged to few values.
struct GreyThumbnail {
    /// `[side, side]`, from 0 to 255.
    let values: [Float]

    var mean: Float { values.reduce(0, +) / Float(values.count) }

    /// Averages the pixels of each cell; a picture smaller than the thumbnail is repeated.
    init(pixels: UnsafeRawBufferPointer, size: Int, side: Int) {
        precondition(size > 0 && pixels.count == size * size * 3, "a picture is size * size * 3 bytes")
        values = [Float](unsafeUninitializedCapacity: side * side) { buffer, count in
            for row in 0..<side {
                let top = row * size / side
                let bottom = max(top + 1, (row + 1) * size / side)
                for column in 0..<side {
                    let left = column * size / side
                    let right = max(left + 1, (column + 1) * size / side)
                    var sum = 0
                    for y in top..<bottom {
                        for x in left..<right {
                            let offset = 3 * (y * size + x)
                            sum += 299 * Int(pixels[offset]) + 587 * Int(pixels[offset + 1])
                            sum += 114 * Int(pixels[offset + 2])
                        }
                    }
                    buffer[row * side + column] = Float(sum) / Float(1000 * (bottom - top) * (right - left))
                }
            }
            count = side * side
        }
    }

    /// The mean absolute difference, in levels of 255.
    func difference(from other: GreyThumbnail) -> Float {
        var sum: Float = 0
        for index in values.indices { sum += abs(values[index] - other.values[index]) }
        return sum / Float(values.count)
    }
}

/// Pairs of 64-bit hashes that are near to each other, found without comparing each with each.
///
/// With `distance` bits that may differ, the bits are divided into `distance + 3` blocks: two hashes that near agree in at
/// least three of them. For every choice of three blocks the hashes are sorted by these bits, and only those that agree
/// in them are compared. Sorting is `n log n`; with a distance of 3 it is done 20 times.
struct NearHashes {
    private let hashes: [UInt64]
    private let distance: Int

    init(_ hashes: [UInt64], distance: Int) {
        precondition((0...8).contains(distance), "the distance is 0 to 8 bits")
        self.hashes = hashes
        self.distance = distance
    }

    /// Calls a closure with groups of positions that agree in enough blocks to be near; a pair may come more than once.
    func forEachCandidates(_ body: (ArraySlice<Int>) -> Void) {
        for mask in masks {
            let order = hashes.indices.sorted { (hashes[$0] & mask, $0) < (hashes[$1] & mask, $1) }
            var start = 0
            while start < order.count {
                var end = start + 1
                let key = hashes[order[start]] & mask
                while end < order.count, hashes[order[end]] & mask == key { end += 1 }
                if end - start > 1 { body(order[start..<end]) }
                start = end
            }
        }
    }

    /// The bits of every choice of three blocks.
    private var masks: [UInt64] {
        guard distance > 0 else { return [.max] }
        let count = distance + 3
        let blocks = (0..<count).map { block -> UInt64 in
            (block * 64 / count..<(block + 1) * 64 / count).reduce(0) { $0 | 1 << UInt64($1) }
        }
        var masks: [UInt64] = []
        for first in 0..<count {
            for second in first + 1..<count where second < count {
                for third in second + 1..<count where third < count {
                    masks.append(blocks[first] | blocks[second] | blocks[third])
                }
            }
        }
        return masks
    }
}
