public import UniMedData
import UniMedImaging

/// A colour in levels of 0 to 255 that may be fractional, or lie outside while a picture is built.
typealias PhantomColor = SIMD3<Float>

/// How a figure is laid on the picture.
struct Paint {
    /// What the colour does to the picture below.
    enum Mode {
        /// It replaces the picture.
        case cover
        /// It is added, as in a radiograph, whose structures all lie in the beam.
        case add
    }

    var color: PhantomColor
    var mode: Mode = .cover
    /// The width of the edge, in pixels; 1 is as sharp as antialiasing allows.
    var softness: Float = 1
    var opacity: Float = 1
    /// The amplitude of smooth noise, in levels, and its waves per picture side.
    var grain: (amplitude: Float, frequency: Float)?
    /// The amplitude by which the edge wanders, in pixels, and its waves per picture side.
    var ragged: (amplitude: Float, frequency: Float)?
    /// The change of colour from the edge inwards, reached at a depth of so many pixels.
    var depth: (color: PhantomColor, pixels: Float)?

    init(_ color: PhantomColor) { self.color = color }
    init(gray: Double) { color = PhantomColor(repeating: Float(gray)) }

    func mode(_ mode: Mode) -> Paint { with { $0.mode = mode } }
    func soft(_ pixels: Double) -> Paint { with { $0.softness = Float(pixels) } }
    func opacity(_ value: Double) -> Paint { with { $0.opacity = Float(value) } }
    func grain(_ amplitude: Double, frequency: Double) -> Paint {
        with { $0.grain = (Float(amplitude), Float(frequency)) }
    }
    func ragged(_ amplitude: Double, frequency: Double) -> Paint {
        with { $0.ragged = (Float(amplitude), Float(frequency)) }
    }
    func depth(_ color: PhantomColor, pixels: Double) -> Paint { with { $0.depth = (color, Float(pixels)) } }

    private func with(_ change: (inout Paint) -> Void) -> Paint {
        var copy = self
        change(&copy)
        return copy
    }
}

/// A picture while it is drawn, and the named objects drawn on it.
///
/// It is used by one study on one thread; its memory is its own and freed with it.
final class PhantomCanvas {
    let side: Int
    private let pixels: UnsafeMutablePointer<PhantomColor>
    private let lattice: UnsafeMutablePointer<Float>
    private(set) var masks: [PhantomMask] = []
    private let keepsMasks: Bool

    private static let latticeSide = 64
    private static let blockWidth = 8

    init(side: Int, color: PhantomColor, keepsMasks: Bool, generator: inout SeededGenerator) {
        self.side = side
        self.keepsMasks = keepsMasks
        pixels = .allocate(capacity: side * side)
        pixels.initialize(repeating: color, count: side * side)
        let count = Self.latticeSide * Self.latticeSide
        lattice = .allocate(capacity: count)
        for index in 0..<count { (lattice + index).initialize(to: Float(generator.uniform()) * 2 - 1) }
    }

    deinit {
        pixels.deallocate()
        lattice.deallocate()
    }

    /// Smooth noise between -1 and 1 with one wave per two units or so, at a position that is not negative.
    @inline(__always)
    private func noise(_ x: Float, _ y: Float) -> Float {
        let mask = Self.latticeSide - 1
        let column = Int(x)
        let row = Int(y)
        var tx = x - Float(column)
        var ty = y - Float(row)
        tx = tx * tx * (3 - 2 * tx)
        ty = ty * ty * (3 - 2 * ty)
        let upper = (row & mask) * Self.latticeSide
        let lower = ((row + 1) & mask) * Self.latticeSide
        let first = column & mask
        let second = (column + 1) & mask
        let above = lattice[upper + first] + (lattice[upper + second] - lattice[upper + first]) * tx
        let below = lattice[lower + first] + (lattice[lower + second] - lattice[lower + first]) * tx
        return above + (below - above) * ty
    }

    /// Noise of two octaves at a position in pixels.
    @inline(__always)
    private func fractal(_ x: Float, _ y: Float, _ frequency: Float) -> Float {
        let scale = 2 * frequency / Float(side)
        return 0.67 * noise(x * scale, y * scale) + 0.33 * noise(y * scale * 2 + 17.5, x * scale * 2 + 5.5)
    }

    /// Draws a figure and, where it has a name, notes the object with the exact extent of its pixels.
    ///
    /// A pixel belongs to the object when at least half of it is covered.
    func draw<Shape: PhantomShape>(_ shape: Shape, _ paint: Paint, name: String? = nil) {
        precondition(
            paint.softness + (paint.ragged?.amplitude ?? 0) <= phantomFar,
            "figures do not know their distance so far from their edge"
        )
        let bounds = shape.bounds
        let margin = 2 + paint.softness + (paint.ragged?.amplitude ?? 0)
        let left = Self.pixel(bounds.xMin - margin, side)
        let right = Self.pixel(bounds.xMax + margin + 1, side)
        let top = Self.pixel(bounds.yMin - margin, side)
        let bottom = Self.pixel(bounds.yMax + margin + 1, side)
        var mask = PhantomMask(name: name ?? "", side: side, keepsBits: name != nil && keepsMasks)
        guard left < right, top < bottom else { return }
        for row in top..<bottom {
            let y = Float(row) + 0.5
            let line = pixels + row * side
            var block = left
            while block < right {
                let end = min(block + Self.blockWidth, right)
                defer { block = end }
                // Most of a thin figure's rectangle is empty: whole blocks of a row are passed over.
                let reach = Float(end - block) / 2 + margin
                if shape.isFarther(than: reach, from: Float(block + end) / 2, y) { continue }
                for column in block..<end {
                    let x = Float(column) + 0.5
                    var distance = shape.distance(x, y)
                    if let ragged = paint.ragged, abs(distance) < ragged.amplitude + paint.softness {
                        distance += ragged.amplitude * fractal(x, y, ragged.frequency)
                    }
                    let cover = 0.5 - distance / paint.softness
                    if cover <= 0 { continue }
                    if cover >= 0.5, name != nil { mask.insert(column, row) }
                    var color = paint.color
                    if let depth = paint.depth {
                        let share = min(1, max(0, -distance / depth.pixels))
                        color += (depth.color - color) * share
                    }
                    if let grain = paint.grain {
                        color += PhantomColor(repeating: grain.amplitude * fractal(x, y, grain.frequency))
                    }
                    var alpha = min(1, cover)
                    if paint.softness > 2 { alpha = alpha * alpha * (3 - 2 * alpha) }
                    alpha *= paint.opacity
                    switch paint.mode {
                    case .cover: line[column] += (color - line[column]) * alpha
                    case .add: line[column] += color * alpha
                    }
                }
            }
        }
        if name != nil, mask.pixelCount > 0 { masks.append(mask) }
    }

    private static func pixel(_ value: Float, _ side: Int) -> Int {
        Int(max(0, min(Float(side), value.rounded(.down))))
    }

    /// Adds smooth noise to the whole picture; each channel takes its share.
    func addNoise(_ amplitude: Double, frequency: Double, share: PhantomColor = PhantomColor(repeating: 1)) {
        let scaled = share * Float(amplitude)
        for row in 0..<side {
            for column in 0..<side {
                pixels[row * side + column] += scaled * fractal(Float(column), Float(row), Float(frequency))
            }
        }
    }

    /// Makes the picture brighter or darker along a line, by so many levels from one side to the other.
    func addGradient(_ levels: Double, angle: Double) {
        let dx = Float(PhantomMath.cosine(angle) * levels) / Float(side)
        let dy = Float(PhantomMath.sine(angle) * levels) / Float(side)
        let half = Float(side) / 2
        for row in 0..<side {
            for column in 0..<side {
                let value = (Float(column) - half) * dx + (Float(row) - half) * dy
                pixels[row * side + column] += PhantomColor(repeating: value)
            }
        }
    }

    /// Darkens the picture towards its corners, to a factor of `1 - strength` there.
    func vignette(_ strength: Double) {
        let half = Float(side) / 2
        for row in 0..<side {
            for column in 0..<side {
                let dx = (Float(column) + 0.5 - half) / half
                let dy = (Float(row) + 0.5 - half) / half
                let squared = (dx * dx + dy * dy) / 2
                pixels[row * side + column] *= 1 - Float(strength) * squared * squared
            }
        }
    }

    /// The finished picture, with the detector's noise of a standard deviation in levels, the same in all channels when
    /// `isGray`.
    func image(noise: Double, isGray: Bool, generator: inout SeededGenerator) -> RGBImage {
        let count = side * side
        // The sum of four 16-bit numbers is nearly normal and needs no function of the mathematical library.
        let scale = Float(noise) / 37_837
        let bytes = [UInt8](unsafeUninitializedCapacity: count * 3) { target, initialized in
            for index in 0..<count {
                var color = pixels[index]
                if isGray {
                    color += PhantomColor(repeating: Self.grain(generator.next()) * scale)
                } else {
                    let (a, b, c) = (generator.next(), generator.next(), generator.next())
                    color += PhantomColor(Self.grain(a), Self.grain(b), Self.grain(c)) * scale
                }
                target[3 * index] = Self.level(color.x)
                target[3 * index + 1] = Self.level(color.y)
                target[3 * index + 2] = Self.level(color.z)
            }
            initialized = count * 3
        }
        return RGBImage(width: side, height: side, pixels: bytes)
    }

    @inline(__always)
    private static func level(_ value: Float) -> UInt8 {
        UInt8(max(0, min(255, value)) + 0.5)
    }

    @inline(__always)
    private static func grain(_ bits: UInt64) -> Float {
        let sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + bits >> 48
        return Float(sum) - 131_070
    }
}

/// The pixels of one named object of a phantom.
public struct PhantomMask: Sendable, Equatable {
    /// The object's name.
    public let name: String
    /// The width and height of the picture, in pixels.
    public let side: Int
    /// `side * side` values, row by row, true where at least half of the pixel belongs to the object; empty when masks
    /// were not asked for.
    public private(set) var bits: [Bool]
    /// The number of pixels that belong to the object.
    public private(set) var pixelCount = 0

    private var left = Int.max
    private var right = Int.min
    private var top = Int.max
    private var bottom = Int.min

    init(name: String, side: Int, keepsBits: Bool) {
        self.name = name
        self.side = side
        bits = keepsBits ? [Bool](repeating: false, count: side * side) : []
    }

    mutating func insert(_ x: Int, _ y: Int) {
        pixelCount += 1
        left = min(left, x)
        right = max(right, x)
        top = min(top, y)
        bottom = max(bottom, y)
        if !bits.isEmpty { bits[y * side + x] = true }
    }

    /// The smallest box that holds all pixels of the object, `xMax` and `yMax` behind the last of them.
    public var box: BoundingBox {
        BoundingBox(xMin: Double(left), yMin: Double(top), xMax: Double(right + 1), yMax: Double(bottom + 1))
    }
}
