//! KubeWise as its users meet it: the built binary, on a real cluster.

mod author;
mod backtest;
mod command_line;
mod demo;
mod inquiry;
mod installation;
mod resuming;
mod scenarios;
mod scoreboard;
mod secrets;
mod stage;
