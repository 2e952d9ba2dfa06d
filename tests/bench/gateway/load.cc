#include "tests/bench/gateway/load.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <utility>

namespace gateway::bench {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::steady_clock;

constexpr int kMaxConnections = 256;

// One connection, with one request under way at most.
class Connection {
 public:
  // Called with the status, 0 if the connection broke.
  using Done = std::function<void(int status)>;

  Connection(asio::io_context& io, std::uint16_t port, const std::string& request)
      : socket_(io), endpoint_(asio::ip::address_v4::loopback(), port), request_(request) {}

  void Ask(Done done) {
    done_ = std::move(done);
    received_.clear();
    if (socket_.is_open()) return Write();
    socket_.async_connect(endpoint_, [this](const error_code& error) {
      if (error) return Finish(0);
      socket_.set_option(tcp::no_delay(true));
      Write();
    });
  }

 private:
  void Write() {
    asio::async_write(socket_, asio::buffer(request_),
                      [this](const error_code& error, std::size_t) {
                        if (error) return Finish(0);
                        Read();
                      });
  }
  void Read() {
    socket_.async_read_some(
        asio::buffer(chunk_), [this](const error_code& error, std::size_t count) {
          if (error) return Finish(0);
          received_.append(chunk_.data(), count);
          if (!IsWhole()) return Read();
          int status = 0;
          const bool has_status = absl::SimpleAtoi(received_.substr(9, 3), &status);
          Finish(has_status ? status : 0);
        });
  }
  // An answer with a Content-Length, as both servers send it.
  bool IsWhole() const {
    const std::size_t end = received_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string header = absl::AsciiStrToLower(received_.substr(0, end));
    const std::size_t field = header.find("content-length: ");
    std::size_t length = 0;
    if (field != std::string::npos) {
      const std::size_t begin = field + 16;
      (void)absl::SimpleAtoi(header.substr(begin, header.find('\r', begin) - begin), &length);
    }
    return received_.size() >= end + 4 + length;
  }
  void Finish(int status) {
    if (status == 0) socket_.close();
    std::exchange(done_, nullptr)(status);
  }

  tcp::socket socket_;
  const tcp::endpoint endpoint_;
  const std::string& request_;
  std::array<char, 64 << 10> chunk_;
  std::string received_;
  Done done_;
};

double MillisecondsSince(steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count();
}

void Note(int status, steady_clock::time_point begin, LoadReport* report) {
  if (status == 200) {
    ++report->answered;
    report->latencies_ms.push_back(MillisecondsSince(begin));
  } else {
    ++report->failed;
  }
}

LoadReport Finished(LoadReport report, steady_clock::time_point begin) {
  report.seconds = MillisecondsSince(begin) / 1000;
  std::sort(report.latencies_ms.begin(), report.latencies_ms.end());
  return report;
}

}  // namespace

std::string HttpRequest(const std::string& path, const std::string& json) {
  const std::string common = absl::StrCat(path, " HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n");
  if (json.empty()) return absl::StrCat("GET ", common, "\r\n");
  return absl::StrCat("POST ", common,
                      "Content-Type: application/json\r\nContent-Length: ", json.size(), "\r\n\r\n",
                      json);
}

double LoadReport::Quantile(double q) const {
  const auto rank = static_cast<std::size_t>(q * static_cast<double>(latencies_ms.size()));
  return latencies_ms[std::min(rank, latencies_ms.size() - 1)];
}

LoadReport Saturate(std::uint16_t port, const std::string& request, int connections,
                    std::chrono::milliseconds duration, std::int64_t max_requests) {
  asio::io_context io(1);
  LoadReport report;
  const auto begin = steady_clock::now();
  const auto end = begin + duration;
  std::int64_t asked = 0;
  std::vector<std::unique_ptr<Connection>> all;
  std::function<void(Connection&)> ask = [&](Connection& connection) {
    if (asked >= max_requests || steady_clock::now() >= end) return;
    ++asked;
    const auto due = steady_clock::now();
    connection.Ask([&, due](int status) {
      Note(status, due, &report);
      ask(connection);
    });
  };
  for (int i = 0; i < connections; ++i) {
    all.push_back(std::make_unique<Connection>(io, port, request));
    ask(*all.back());
  }
  io.run();
  return Finished(std::move(report), begin);
}

LoadReport OpenLoop(std::uint16_t port, const std::string& request, double rate,
                    std::chrono::milliseconds duration) {
  asio::io_context io(1);
  LoadReport report;
  const auto begin = steady_clock::now();
  const auto count =
      static_cast<std::int64_t>(rate * std::chrono::duration<double>(duration).count());
  std::vector<std::unique_ptr<Connection>> all;
  std::vector<Connection*> idle;
  asio::steady_timer timer(io);
  const auto due_at = [&](std::int64_t i) {
    return begin + std::chrono::duration_cast<steady_clock::duration>(
                       std::chrono::duration<double>(static_cast<double>(i) / rate));
  };
  const auto send = [&](steady_clock::time_point due) {
    if (idle.empty()) {
      if (all.size() == kMaxConnections) {
        ++report.failed;
        return;
      }
      all.push_back(std::make_unique<Connection>(io, port, request));
      idle.push_back(all.back().get());
    }
    Connection* const connection = idle.back();
    idle.pop_back();
    connection->Ask([&, connection, due](int status) {
      Note(status, due, &report);
      idle.push_back(connection);
    });
  };
  std::function<void(std::int64_t)> schedule = [&](std::int64_t i) {
    if (i == count) return;
    timer.expires_at(due_at(i));
    timer.async_wait([&, i](const error_code&) {
      send(due_at(i));
      schedule(i + 1);
    });
  };
  schedule(0);
  io.run();
  return Finished(std::move(report), begin);
}

}  // namespace gateway::bench
