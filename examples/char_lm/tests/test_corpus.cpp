#include <cmath>
#include <filesystem>
#include <string>

#include "corpus.hpp"
#include "error.hpp"
#include "support/catch.hpp"
#include "temporary_folder.hpp"

namespace char_lm {

namespace test_corpus {

exit_code code_of(const std::vector<std::filesystem::path>& files, index context) {
    try {
        const corpus text(find_files(files), context, 1);
    } catch (const failure& f) {
        return f.code();
    }
    return exit_code::success;
}

TEST_CASE("a text becomes numbers and back, the last tenth held out") {
    const temporary_folder folder;
    const std::string text = "a bé\tcab\x01 abc abc, cab cab.\n";
    const corpus c({folder.file("a.txt", text)}, 4, 1);
    CHECK(c.vocabulary_size() == 11);  // é is two bytes
    CHECK(c.validation().size() == 5);
    CHECK(c.show(c.training()) + c.show(c.validation()) == "a b??\tcab? abc abc, cab cab.\n");
}

TEST_CASE("long gaps are cut") {
    const temporary_folder folder;
    const corpus c({folder.file("gap.txt", "a        b         c" + std::string(20, '.'))}, 4, 1);
    CHECK(c.show(c.training()) == "a        b        c" + std::string(15, '.'));
}

TEST_CASE("entropies are those of counts") {
    const temporary_folder folder;
    std::string text;
    for (int i = 0; i < 100; ++i) text += "ab";
    const corpus c({folder.file("ab.txt", text)}, 4, 1);
    CHECK(std::abs(c.entropy(0) - std::log(2.0)) < 1e-3);
    CHECK(c.entropy(1) == 0);
}

TEST_CASE("whole lines are found behind the first") {
    const temporary_folder folder;
    const corpus c({folder.file("lines.txt", "one\ntwo\nthree\nfour, five, six and seven")}, 4, 1);
    CHECK(c.show(c.whole_lines(c.training(), 3)) == "two\n");
    CHECK(c.show(c.whole_lines(c.training(), 5)) == "two\nthree\n");
    CHECK(c.show(c.whole_lines(c.training(), 12)) == "one\ntwo\nthre");
}

TEST_CASE("each thing that can be wrong with a text has a number of its own") {
    const temporary_folder folder;
    CHECK(code_of({folder.path() / "none.txt"}, 8) == exit_code::missing_file);
    CHECK(code_of({folder.file("empty.txt", "")}, 8) == exit_code::empty_text);
    CHECK(code_of({folder.file("short.txt", "seventeen letters")}, 8) == exit_code::short_text);
    CHECK(code_of({folder.file("enough.txt", "eighteen letters!!")}, 8) == exit_code::success);
}

TEST_CASE("a folder stands for the files in it") {
    const temporary_folder folder;
    const auto a = folder.file("a.txt", "a");
    const auto b = folder.file("deeper/b.txt", "b");
    CHECK(find_files({folder.path()}) == std::vector{a, b});
    CHECK_FALSE(find_files({}).empty());
}

}  // namespace test_corpus
}  // namespace char_lm
