;; The product of a matrix of int8 with a vector of int16, in SIMD.
;;
;;   y[row] = sum(weights[row][column] * x[column]) * scale[row] * factor
;;
;; Four rows are read side by side, eight columns at a time: `dot` multiplies
;; eight pairs and adds neighbours, which leaves four sums of int32 per row.
;; They are exact. Only then do they become float32, and are added:
;; (sum 0 + sum 1) + (sum 2 + sum 3). `product.js` has the same in JavaScript.
;;
;; Rows come in fours and columns in eights; what is left over is zero.
(module
  (import "page" "memory" (memory 1))

  ;; [a, b, c, d] with a = (a0 + a1) + (a2 + a3), and so on.
  (func $fold (param $a v128) (param $b v128) (param $c v128) (param $d v128)
    (result v128)
    (local $ab v128) (local $cd v128) (local $ab2 v128) (local $cd2 v128)
    (local.set $a (f32x4.convert_i32x4_s (local.get $a)))
    (local.set $b (f32x4.convert_i32x4_s (local.get $b)))
    (local.set $c (f32x4.convert_i32x4_s (local.get $c)))
    (local.set $d (f32x4.convert_i32x4_s (local.get $d)))
    ;; ab = a0 b0 a1 b1, ab2 = a2 b2 a3 b3
    (local.set $ab (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
      (local.get $a) (local.get $b)))
    (local.set $ab2 (i8x16.shuffle
      8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31
      (local.get $a) (local.get $b)))
    (local.set $cd (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
      (local.get $c) (local.get $d)))
    (local.set $cd2 (i8x16.shuffle
      8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31
      (local.get $c) (local.get $d)))
    (f32x4.add
      (f32x4.add
        ;; a0 b0 c0 d0 and a1 b1 c1 d1
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
          (local.get $ab) (local.get $cd))
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31
          (local.get $ab) (local.get $cd)))
      (f32x4.add
        ;; a2 b2 c2 d2 and a3 b3 c3 d3
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
          (local.get $ab2) (local.get $cd2))
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31
          (local.get $ab2) (local.get $cd2)))))

  (func (export "product")
    (param $weights i32)  ;; int8 [rows, columns]
    (param $scale i32)    ;; float32 [rows]
    (param $x i32)        ;; int16 [columns]
    (param $y i32)        ;; float32 [rows], the result
    (param $rows i32) (param $columns i32) (param $factor f32)
    (local $end i32) (local $column i32) (local $at i32) (local $eight v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end
      (i32.add (local.get $y) (i32.shl (local.get $rows) (i32.const 2))))
    (loop $next_rows
      (local.set $a (v128.const i32x4 0 0 0 0))
      (local.set $b (v128.const i32x4 0 0 0 0))
      (local.set $c (v128.const i32x4 0 0 0 0))
      (local.set $d (v128.const i32x4 0 0 0 0))
      (local.set $column (i32.const 0))
      (loop $next_columns
        (local.set $eight
          (v128.load (i32.add
            (local.get $x) (i32.shl (local.get $column) (i32.const 1)))))
        (local.set $at (i32.add (local.get $weights) (local.get $column)))
        (local.set $a
          (i32x4.add (local.get $a)
            (i32x4.dot_i16x8_s (local.get $eight)
              (v128.load8x8_s (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (local.get $columns)))
        (local.set $b
          (i32x4.add (local.get $b)
            (i32x4.dot_i16x8_s (local.get $eight)
              (v128.load8x8_s (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (local.get $columns)))
        (local.set $c
          (i32x4.add (local.get $c)
            (i32x4.dot_i16x8_s (local.get $eight)
              (v128.load8x8_s (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (local.get $columns)))
        (local.set $d
          (i32x4.add (local.get $d)
            (i32x4.dot_i16x8_s (local.get $eight)
              (v128.load8x8_s (local.get $at)))))
        (local.set $column (i32.add (local.get $column) (i32.const 8)))
        (br_if $next_columns
          (i32.lt_u (local.get $column) (local.get $columns))))
      (v128.store (local.get $y)
        (f32x4.mul
          (f32x4.mul
            (call $fold (local.get $a) (local.get $b) (local.get $c)
              (local.get $d))
            (v128.load (local.get $scale)))
          (f32x4.splat (local.get $factor))))
      (local.set $weights
        (i32.add (local.get $weights)
          (i32.shl (local.get $columns) (i32.const 2))))
      (local.set $scale (i32.add (local.get $scale) (i32.const 16)))
      (local.set $y (i32.add (local.get $y) (i32.const 16)))
      (br_if $next_rows (i32.lt_u (local.get $y) (local.get $end)))))
)
