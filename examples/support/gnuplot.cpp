#include "gnuplot.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace examples {

bool gnuplot(const std::string& script) {
    if (std::system("command -v gnuplot > /dev/null 2>&1") != 0) return false;
    // Should gnuplot end before it has read everything, that must not end this program too.
    const auto before = std::signal(SIGPIPE, SIG_IGN);
    std::FILE* pipe = popen("gnuplot", "w");
    bool drawn = pipe != nullptr;
    if (drawn) {
        std::fputs(script.c_str(), pipe);
        drawn = pclose(pipe) == 0;
    }
    std::signal(SIGPIPE, before);
    return drawn;
}

std::string quoted(const std::string& text) {
    std::string result = "'";
    for (const char c : text) result += c == '\'' ? "''" : std::string(1, c);
    return result + "'";
}

}  // namespace examples
