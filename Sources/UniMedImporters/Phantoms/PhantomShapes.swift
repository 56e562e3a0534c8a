/// The distance in pixels beyond which figures do not say how far their edge is; no edge is softer or wanders further.
let phantomFar: Float = 16

/// A plane figure known by its signed distance: negative inside, in pixels.
protocol PhantomShape {
    /// A rectangle in pixels outside which nothing is.
    var bounds: PhantomBounds { get }
    /// The distance from the figure's edge, negative inside; only near the edge is it to scale.
    func distance(_ x: Float, _ y: Float) -> Float
    /// Whether the figure is certainly farther than so many pixels from a point; `false` where that is not known.
    func isFarther(than pixels: Float, from x: Float, _ y: Float) -> Bool
}

extension PhantomShape {
    @inline(__always)
    func isFarther(than pixels: Float, from x: Float, _ y: Float) -> Bool { false }
}

/// A rectangle in pixels, not yet cut to the picture.
struct PhantomBounds {
    var xMin: Float
    var yMin: Float
    var xMax: Float
    var yMax: Float

    func union(_ other: PhantomBounds) -> PhantomBounds {
        PhantomBounds(
            xMin: min(xMin, other.xMin),
            yMin: min(yMin, other.yMin),
            xMax: max(xMax, other.xMax),
            yMax: max(yMax, other.yMax)
        )
    }
}

/// A turned ellipse whose radius varies smoothly around it: `1 + Σ c_k cos kθ + s_k sin kθ` times the ellipse's.
struct Blob: PhantomShape {
    var centerX: Float
    var centerY: Float
    private(set) var radiusX: Float
    private(set) var radiusY: Float
    private var inverseX: Float
    private var inverseY: Float
    private var cosine: Float
    private var sine: Float
    /// The coefficients of k = 1 to 5, and what they can add to the radius at most.
    private(set) var cosines: SIMD8<Float> = .zero
    private(set) var sines: SIMD8<Float> = .zero
    private var reach: Float = 0

    init(x: Double, y: Double, radiusX: Double, radiusY: Double, angle: Double = 0) {
        centerX = Float(x)
        centerY = Float(y)
        self.radiusX = Float(max(radiusX, 0.25))
        self.radiusY = Float(max(radiusY, 0.25))
        inverseX = 1 / self.radiusX
        inverseY = 1 / self.radiusY
        cosine = Float(PhantomMath.cosine(angle))
        sine = Float(PhantomMath.sine(angle))
    }

    /// The same figure with a harmonic of its radius set.
    func harmonic(_ k: Int, cosine: Double = 0, sine: Double = 0) -> Blob {
        var copy = self
        copy.cosines[k - 1] = Float(cosine)
        copy.sines[k - 1] = Float(sine)
        copy.reach = 0
        for index in 0..<5 { copy.reach += abs(copy.cosines[index]) + abs(copy.sines[index]) }
        return copy
    }

    /// The same figure grown by a number of pixels, or shrunk by a negative one.
    func grown(_ pixels: Double) -> Blob {
        var copy = self
        copy.radiusX = max(0.25, radiusX + Float(pixels))
        copy.radiusY = max(0.25, radiusY + Float(pixels))
        copy.inverseX = 1 / copy.radiusX
        copy.inverseY = 1 / copy.radiusY
        return copy
    }

    var bounds: PhantomBounds {
        let radius = max(radiusX, radiusY) * (1 + reach)
        return PhantomBounds(
            xMin: centerX - radius,
            yMin: centerY - radius,
            xMax: centerX + radius,
            yMax: centerY + radius
        )
    }

    @inline(__always)
    func distance(_ x: Float, _ y: Float) -> Float {
        let dx = x - centerX
        let dy = y - centerY
        let u = (dx * cosine + dy * sine) * inverseX
        let v = (dy * cosine - dx * sine) * inverseY
        let squared = u * u + v * v
        // Far outside and deep inside the sign is enough.
        let margin = phantomFar * max(inverseX, inverseY)
        let outer = 1 + reach + margin
        if squared > outer * outer { return phantomFar }
        let inner = 1 - reach - margin
        if inner > 0 && squared < inner * inner { return -phantomFar }
        let radius = squared.squareRoot()
        if radius < 1e-3 { return -min(radiusX, radiusY) }
        let c1 = u / radius
        let s1 = v / radius
        var limit: Float = 1
        if reach > 0 {
            let c2 = c1 * c1 - s1 * s1
            let s2 = 2 * c1 * s1
            let c3 = c2 * c1 - s2 * s1
            let s3 = s2 * c1 + c2 * s1
            let c4 = c2 * c2 - s2 * s2
            let s4 = 2 * c2 * s2
            let c5 = c4 * c1 - s4 * s1
            let s5 = s4 * c1 + c4 * s1
            limit += cosines[0] * c1 + sines[0] * s1 + cosines[1] * c2 + sines[1] * s2
            limit += cosines[2] * c3 + sines[2] * s3 + cosines[3] * c4 + sines[3] * s4
            limit += cosines[4] * c5 + sines[4] * s5
        }
        let gx = c1 * inverseX
        let gy = s1 * inverseY
        return (radius - limit) / (gx * gx + gy * gy).squareRoot()
    }
}

/// Several blobs as one figure.
struct BlobUnion: PhantomShape {
    var blobs: [Blob]

    var bounds: PhantomBounds {
        blobs.dropFirst().reduce(blobs[0].bounds) { $0.union($1.bounds) }
    }

    @inline(__always)
    func distance(_ x: Float, _ y: Float) -> Float {
        var nearest = Float.greatestFiniteMagnitude
        for index in blobs.indices { nearest = min(nearest, blobs[index].distance(x, y)) }
        return nearest
    }
}

/// The part of a figure that lies inside one blob and outside others.
struct Cutout<Base: PhantomShape>: PhantomShape {
    var base: Base
    var within: Blob?
    var without: [Blob] = []

    var bounds: PhantomBounds { base.bounds }

    @inline(__always)
    func isFarther(than pixels: Float, from x: Float, _ y: Float) -> Bool { base.isFarther(than: pixels, from: x, y) }

    @inline(__always)
    func distance(_ x: Float, _ y: Float) -> Float {
        var result = base.distance(x, y)
        if result >= phantomFar { return result }
        if let within { result = max(result, within.distance(x, y)) }
        for index in without.indices { result = max(result, -without[index].distance(x, y)) }
        return result
    }
}

/// All that lies outside a turned rectangle.
struct OutsideRectangle: PhantomShape {
    var center: SIMD2<Float>
    var half: SIMD2<Float>
    var cosine: Float
    var sine: Float

    var bounds: PhantomBounds {
        PhantomBounds(xMin: -1e6, yMin: -1e6, xMax: 1e6, yMax: 1e6)
    }

    @inline(__always)
    func distance(_ x: Float, _ y: Float) -> Float {
        let dx = x - center.x
        let dy = y - center.y
        return min(half.x - abs(dx * cosine + dy * sine), half.y - abs(dy * cosine - dx * sine))
    }
}

/// A line of a given width through points, its ends round and, if wanted, thinner than its start.
struct Stroke: PhantomShape {
    private struct Segment {
        var start: SIMD2<Float>
        var along: SIMD2<Float>
        var inverse: Float
        var radius: Float
        var growth: Float
    }

    private var segments: [Segment] = []
    private(set) var bounds: PhantomBounds

    init(points: [SIMD2<Float>], width: Double, endWidth: Double? = nil) {
        precondition(points.count > 1, "a line has two points or more")
        let first = Float(width / 2)
        let last = Float((endWidth ?? width) / 2)
        let growth = (last - first) / Float(points.count - 1)
        let margin = max(first, last)
        bounds = PhantomBounds(
            xMin: points[0].x - margin,
            yMin: points[0].y - margin,
            xMax: points[0].x + margin,
            yMax: points[0].y + margin
        )
        for index in 0..<points.count - 1 {
            let along = points[index + 1] - points[index]
            segments.append(
                Segment(
                    start: points[index],
                    along: along,
                    inverse: 1 / max((along * along).sum(), 1e-6),
                    radius: first + growth * Float(index),
                    growth: growth
                )
            )
            let end = points[index + 1]
            bounds = bounds.union(
                PhantomBounds(xMin: end.x - margin, yMin: end.y - margin, xMax: end.x + margin, yMax: end.y + margin)
            )
        }
    }

    /// A quadratic curve from one point to another, bent towards a third.
    init(
        from start: SIMD2<Float>,
        bend: SIMD2<Float>,
        to end: SIMD2<Float>,
        width: Double,
        endWidth: Double? = nil,
        segments: Int = 8
    ) {
        var points: [SIMD2<Float>] = []
        for index in 0...segments {
            let t = Float(index) / Float(segments)
            points.append(start * ((1 - t) * (1 - t)) + bend * (2 * t * (1 - t)) + end * (t * t))
        }
        self.init(points: points, width: width, endWidth: endWidth)
    }

    @inline(__always)
    func distance(_ x: Float, _ y: Float) -> Float {
        var nearest = Float.greatestFiniteMagnitude
        segments.withUnsafeBufferPointer { segments in
            for segment in segments {
                let dx = x - segment.start.x
                let dy = y - segment.start.y
                let t = max(0, min(1, (dx * segment.along.x + dy * segment.along.y) * segment.inverse))
                let gx = dx - segment.along.x * t
                let gy = dy - segment.along.y * t
                nearest = min(nearest, (gx * gx + gy * gy).squareRoot() - (segment.radius + segment.growth * t))
            }
        }
        return nearest
    }

    /// The distance of a line is exact, so what is near one point is known from another.
    @inline(__always)
    func isFarther(than pixels: Float, from x: Float, _ y: Float) -> Bool { distance(x, y) > pixels }
}
