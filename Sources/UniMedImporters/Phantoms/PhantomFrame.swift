import UniMedData

/// Where a body lies in the picture: from the body's own coordinates, 1 being half a picture side, to pixels.
struct PhantomFrame {
    private let originX: Double
    private let originY: Double
    /// Pixels per unit.
    let scale: Double
    private let angle: Double
    private let cosine: Double
    private let sine: Double

    /// Makes a frame.
    ///
    /// - Parameters:
    ///   - side: The side of the picture in pixels.
    ///   - x: The body's centre, from the picture's centre, in half sides.
    ///   - y: The same, downwards.
    ///   - zoom: Half picture sides per unit.
    ///   - angle: The turn, clockwise, in radians.
    init(side: Int, x: Double, y: Double, zoom: Double, angle: Double) {
        let half = Double(side) / 2
        originX = half * (1 + x)
        originY = half * (1 + y)
        scale = half * zoom
        self.angle = angle
        cosine = PhantomMath.cosine(angle)
        sine = PhantomMath.sine(angle)
    }

    /// A random frame for a body of given half extents that stays in the picture, but for a small part.
    static func random(
        side: Int,
        width: Double,
        height: Double,
        zoom: ClosedRange<Double>,
        tilt: Double,
        overhang: Double = 0.05,
        generator: inout SeededGenerator
    ) -> PhantomFrame {
        let zoom = generator.number(zoom)
        let x = max(0, 1 - width * zoom + overhang)
        let y = max(0, 1 - height * zoom + overhang)
        return PhantomFrame(
            side: side,
            x: generator.number(-x...x),
            y: generator.number(-y...y),
            zoom: zoom,
            angle: generator.number(-tilt...tilt)
        )
    }

    /// The same frame turned by half a turn about its origin.
    func turned(side: Int) -> PhantomFrame {
        let half = Double(side) / 2
        return PhantomFrame(
            side: side,
            x: originX / half - 1,
            y: originY / half - 1,
            zoom: scale / half,
            angle: angle + Double.pi
        )
    }

    /// The position in pixels of a point of the body.
    func point(_ x: Double, _ y: Double) -> SIMD2<Float> {
        SIMD2(
            Float(originX + scale * (x * cosine - y * sine)),
            Float(originY + scale * (x * sine + y * cosine))
        )
    }

    /// An ellipse of the body; its angle is in degrees, clockwise.
    func blob(_ x: Double, _ y: Double, _ radiusX: Double, _ radiusY: Double, degrees: Double = 0) -> Blob {
        let center = point(x, y)
        return Blob(
            x: Double(center.x),
            y: Double(center.y),
            radiusX: radiusX * scale,
            radiusY: radiusY * scale,
            angle: angle + degrees * Double.pi / 180
        )
    }

    /// All that lies outside a rectangle of the body, as a collimator cuts it.
    func outside(_ x: Double, _ y: Double, _ halfWidth: Double, _ halfHeight: Double) -> OutsideRectangle {
        OutsideRectangle(
            center: point(x, y),
            half: SIMD2(Float(halfWidth * scale), Float(halfHeight * scale)),
            cosine: Float(cosine),
            sine: Float(sine)
        )
    }

    /// A curve of the body.
    func stroke(
        _ start: (Double, Double),
        bend: (Double, Double),
        _ end: (Double, Double),
        width: Double,
        endWidth: Double? = nil
    ) -> Stroke {
        Stroke(
            from: point(start.0, start.1),
            bend: point(bend.0, bend.1),
            to: point(end.0, end.1),
            width: width * scale,
            endWidth: endWidth.map { $0 * scale }
        )
    }
}

extension Blob {
    /// The same figure with a random outline: harmonics 2 to 5 of falling amplitude.
    func wobbled(_ amplitude: Double, _ generator: inout SeededGenerator) -> Blob {
        var result = self
        for k in 2...5 {
            let limit = amplitude * 2 / Double(k)
            result = result.harmonic(
                k,
                cosine: Double(cosines[k - 1]) + generator.number(-limit...limit) / 2,
                sine: Double(sines[k - 1]) + generator.number(-limit...limit) / 2
            )
        }
        return result
    }
}
