//! KubeWise as its users meet it: the built binary, on a real cluster.

mod backtest;
mod command_line;
mod demo;
mod installation;
mod link;
mod scenarios;
mod scoreboard;
mod stage;
