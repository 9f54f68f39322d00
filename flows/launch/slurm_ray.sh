# Several nodes: one Ray that spans them. The run finds it by $RAY_ADDRESS.
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  port=$((20000 + SLURM_JOB_ID % 20000))
  export RAY_ADDRESS="$SLURMD_NODENAME:$port"
  "$ray" start --head --port=$port --node-ip-address="$SLURMD_NODENAME"
  # SLURM sends the signal before the end of the time to every step: it is the run's, and would end this Ray at once.
  srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks-per-node=1 --exclude="$SLURMD_NODENAME" \
    --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    bash -c 'trap "" USR2; exec "$0" start --address="$RAY_ADDRESS" --block' "$ray" &
fi
