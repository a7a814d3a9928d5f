// Draws decoding.png, milliseconds a step over the keys behind it, beside what reading them takes:
// 32 heads of d = 128, one thread. From the repository's top:
//
//     g++ -std=c++20 -O3 -march=native -I include -I bench/support -isystem /usr/include/eigen3
//     docs/figures/make_decoding.cpp -o make_decoding -lbenchmark -pthread
//     ./make_decoding | gnuplot > docs/figures/decoding.png
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <limits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/heed.hpp>

#include "memory_limit.hpp"

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

constexpr int heads = 32, numbers = 128, longest = 8192, chunk = 256, rounds = 25;

/// A cache of one storage, as long as the last step that was asked for.
template <class Storage>
class decoder {
  public:
    explicit decoder(heed::cache_arithmetic arithmetic = heed::cache_arithmetic::floats)
        : cache_(
              {.kv_heads = heads, .dim = numbers, .capacity = longest, .arithmetic = arithmetic}) {}

    /// The least time of a step behind so many keys so far.
    double milliseconds(int keys, const tensor& q, const tensor& kv) {
        while (cache_.length() < keys) {
            cache_.append(kv, kv);
            least_ = std::numeric_limits<double>::infinity();
        }
        const double time =
            heed_bench::seconds([&] { heed::attention_into(o_, q, cache_, heed::causal); });
        return least_ = std::min(least_, 1e3 * time);
    }

  private:
    heed::kv_cache<Storage> cache_;
    tensor o_ = tensor(1, heads, 1, numbers);
    double least_ = 0;
};

int main() {
    tensor q(1, heads, 1, numbers), kv(1, heads, chunk, numbers);
    q.setRandom();
    kv.setRandom();
    decoder<float> of_float;
    decoder<Eigen::bfloat16> of_bfloat16;
    decoder<std::int8_t> of_int8, of_integers(heed::integer_dot);
    heed_bench::memory memory;
    heed_bench::team one(1);
    std::vector<int> lengths;
    std::vector<std::vector<double>> times(4);  // of each decoder
    double byte = std::numeric_limits<double>::infinity();
    for (int keys = chunk; keys <= longest; keys *= 2) {
        lengths.push_back(keys);
        double step[4] = {};
        for (int round = 0; round < rounds; ++round) {
            step[0] = of_float.milliseconds(keys, q, kv);
            step[1] = of_bfloat16.milliseconds(keys, q, kv);
            step[2] = of_int8.milliseconds(keys, q, kv);
            step[3] = of_integers.milliseconds(keys, q, kv);
            byte = std::min(byte, memory.seconds_a_byte_read(one));
        }
        for (std::size_t s = 0; s < 4; ++s) times[s].push_back(step[s]);
        std::cerr << keys << " keys: float " << step[0] << ", bfloat16 " << step[1] << ", int8 "
                  << step[2] << ", by integer_dot " << step[3] << " ms\n";
    }
    std::cerr << "memory: " << 1e-9 / byte << " GB/s\n";
    for (std::size_t bytes = sizeof(float); bytes > 0; bytes /= 2) {
        std::vector<double> reading;
        for (const int keys : lengths)
            reading.push_back(1e3 * byte * 2 * heads * keys * numbers * static_cast<double>(bytes));
        times.push_back(reading);
    }
    std::cout << "set terminal pngcairo size 640,420 noenhanced font 'sans,11'\nset logscale xy\n"
                 "set xlabel 'keys behind a step'\nset ylabel 'milliseconds a step'\n"
                 "set xrange [200:10000]\nset yrange [0.05:20]\n"
                 "set grid\nset key top left\nset xtics (256,512,1024,2048,4096,8192)\n"
                 "plot '-' with linespoints lw 2 lc 1 title 'float', "
                 "'-' with linespoints lw 2 lc 2 title 'bfloat16', "
                 "'-' with linespoints lw 2 lc 3 title 'int8', "
                 "'-' with linespoints lw 2 lc 4 title 'int8, integer_dot', "
                 "'-' with lines dt 2 lc 1 title 'reading it from memory', "
                 "'-' with lines dt 2 lc 2 notitle, "
                 "'-' with lines dt 2 lc 3 notitle\n";
    for (const auto& line : times) {
        for (std::size_t i = 0; i < lengths.size(); ++i)
            std::cout << lengths[i] << ' ' << line[i] << '\n';
        std::cout << "e\n";
    }
}
